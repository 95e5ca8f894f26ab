"""From values of samples to areas of the picture: every sample has a cell of its stride."""

from __future__ import annotations

import numpy as np
import torch
from matplotlib.path import Path
from torch import Tensor

from ..inspection.positives import PositiveSamples
from ..structures import IGNORED, Predictions, Priors

HEATS = ("auto", "score", "gaussian", "none")


def cells(priors: Priors) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Column, row and stride (pixels) of the cell that each sample lies in, (R,) int64 each."""
    points, stride = priors.points.cpu(), priors.stride.cpu()
    column, row = torch.div(points, stride[:, None], rounding_mode="floor").long().T
    return column.numpy(), row.numpy(), stride.long().numpy()


def sample_map(values: Tensor, priors: Priors, size: tuple[int, int]) -> np.ndarray:
    """Paint samples over an image: each pixel has the largest value of the cells it lies in.

    Args:
        values: (R,), of the samples of all levels.
        priors: of the samples.
        size: height and width of the image, pixels.

    Returns:
        (height, width) float32, minus infinity where there is no cell.
    """
    height, width = size
    painted = np.full((height, width), -np.inf, np.float32)
    column, row, stride = cells(priors)
    for side in np.unique(stride):
        chosen = stride == side
        grid = np.full((-(-height // side), -(-width // side)), -np.inf, np.float32)
        inside = chosen & (row < grid.shape[0]) & (column < grid.shape[1])
        np.maximum.at(grid, (row[inside], column[inside]), values.cpu().numpy()[inside])
        enlarged = grid.repeat(side, axis=0).repeat(side, axis=1)[:height, :width]
        np.maximum(painted, enlarged, out=painted)
    return painted


def best_scores(predictions: Predictions, index: int) -> Tensor:
    """The highest score of any class at each sample of an image, (R,) in [0, 1]."""
    scores = predictions.logits[index].sigmoid().amax(dim=-1)
    if predictions.quality is None:
        return scores
    return scores * predictions.quality[index].sigmoid()


def heat_kind(samples: PositiveSamples, index: int, wanted: str = "auto") -> str:
    """What the heat of an image shows: "score", "gaussian" or "none".

    Args:
        samples: of a batch.
        index: of the image.
        wanted: one of :data:`HEATS`. "auto" is the Gaussian where the assigner has one, else the
            score; "gaussian" is nothing where it has none.
    """
    soft = False
    if samples.assignment.cls_weight is not None:
        weight = samples.assignment.cls_weight[index]
        soft = bool(((weight > 0) & (weight < 1)).any())
    if wanted == "auto":
        return "gaussian" if soft else "score"
    return "none" if wanted == "gaussian" and not soft else wanted


def heat_values(samples: PositiveSamples, index: int, kind: str) -> Tensor:
    """The heat of each sample of an image.

    Args:
        samples: of a batch.
        index: of the image.
        kind: "score", the highest over the classes, or "gaussian", CenterNet's Y: how nearly right
            a sample is, of which its class weight is (1 - Y)^4.

    Returns:
        (R,) float32 in [0, 1].
    """
    if kind == "score":
        return best_scores(samples.predictions, index)
    weight = samples.assignment.cls_weight[index].amin(dim=-1)
    heat = 1 - weight.sqrt().sqrt()
    positive = samples.assignment.sample[index, samples.assignment.positive[index]]
    return heat.index_fill(0, positive, 1)


def ignored_area(samples: PositiveSamples, index: int, level: int) -> Path | None:
    """Outline of the cells of one level with a sample that the class loss ignores.

    Args:
        samples: of a batch.
        index: of the image.
        level: finest first.

    Returns:
        A path in pixels of the image; None where nothing is ignored.
    """
    ignored = samples.assignment.dense_gt()[index] == IGNORED
    ignored = (ignored & (samples.priors.level == level)).cpu().numpy()
    if not ignored.any():
        return None
    column, row, stride = (values[ignored] for values in cells(samples.priors))
    corner = np.stack([column, row], axis=1)[:, None] * stride[:, None, None]
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]])
    outline = np.unique(corner + square * stride[:, None, None], axis=0)
    codes = [Path.MOVETO, Path.LINETO, Path.LINETO, Path.LINETO, Path.CLOSEPOLY]
    return Path(outline.reshape(-1, 2), codes * len(outline))
