"""Where the positive samples are: the assignment of a model, computed and drawn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..assigner import Assigner
from ..meta_arch import OneNet
from ..structures import Assignment, GroundTruth, Predictions, Priors
from .draw import draw_boxes, nth_color, panel_grid, show_image

DOT_AREA = 70.0  # of the heaviest positive sample of an image, points squared
RING_WIDTH = 0.7  # of a dot around another one, in radii of the inner one
LEAST_SHARE = 0.1  # of that area, so that light samples can be seen


class PositiveSamples(NamedTuple):
    """An assignment with all that it was made from, of a batch."""

    assignment: Assignment
    priors: Priors
    predictions: Predictions
    gt: GroundTruth


@torch.no_grad()
def positive_samples(
    model: OneNet,
    batched_inputs: list[dict],
    assigner: Assigner | None = None,
    *,
    batch_statistics: bool = False,
) -> PositiveSamples:
    """Assign samples to the ground truth of a batch. The model stays as it is.

    Args:
        model: in evaluation mode.
        batched_inputs: Detectron2's standard format with ``image`` and ``instances``.
        assigner: instead of the model's own.
        batch_statistics: let batch norm normalise by this batch, as in training. A network that was
            never trained needs it: it has seen nothing yet that its own statistics could be of.
    """
    with _normalizing_by_batch(model) if batch_statistics else nullcontext():
        images = model.preprocess_image(batched_inputs)
        features = model.backbone(images.tensor)
        stages, priors = model.head([features[name] for name in model.in_features])
    gt = GroundTruth.from_instances([x["instances"].to(model.device) for x in batched_inputs])
    predictions = stages[0].float()
    assignment = (assigner or model.assigner)(priors, predictions, gt)
    return PositiveSamples(assignment, priors, predictions, gt)


@contextmanager
def _normalizing_by_batch(model: nn.Module) -> Iterator[None]:
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    previous = [(norm.training, norm.track_running_stats) for norm in norms]
    for norm in norms:  # without tracking, the statistics of the batch are used and then forgotten
        norm.training, norm.track_running_stats = True, False
    try:
        yield
    finally:
        for norm, state in zip(norms, previous, strict=True):
            norm.training, norm.track_running_stats = state


def draw_positive_samples(
    ax: Axes,
    image: np.ndarray,
    samples: PositiveSamples,
    index: int,
    *,
    predicted_boxes: bool = True,
) -> None:
    """Draw the ground truths of one image, each with its positive samples in its own colour.

    Args:
        ax: where to draw.
        image: (H, W, 3) RGB, the network's input.
        samples: of the batch.
        index: of the image in the batch.
        predicted_boxes: whether to draw, dashed, what is predicted at the positive samples; with
            many positives to a ground truth that is too much.
    """
    show_image(ax, image)
    valid = samples.gt.valid[index].cpu()
    true_boxes = samples.gt.boxes[index].cpu()[valid].numpy()
    draw_boxes(ax, true_boxes, [nth_color(g) for g in valid.nonzero().flatten().tolist()])

    used = samples.assignment.positive[index].cpu()
    sample = samples.assignment.sample[index].cpu()[used]
    weight = samples.assignment.weight[index].cpu()[used].numpy()
    pair_colors = [nth_color(g) for g in samples.assignment.gt[index].cpu()[used].tolist()]
    if predicted_boxes:
        boxes = samples.predictions.boxes[index].cpu()[sample].numpy()
        draw_boxes(ax, boxes, pair_colors, line_style=(0, (3, 2)), line_width=1.3)
    if len(sample):
        x, y = samples.priors.points.cpu()[sample].T.numpy()
        area = DOT_AREA * np.maximum(weight / weight.max(), LEAST_SHARE) * _rings(sample.numpy())
        ax.scatter(x, y, area, pair_colors, edgecolors="black", linewidths=1.2, zorder=3)
    # Samples and boxes may lie in the padding; the picture ends where the image does.
    ax.set_xlim(0, image.shape[1])
    ax.set_ylim(image.shape[0], 0)


def _rings(sample: np.ndarray) -> np.ndarray:
    """Factors on the area of dots (P,), so that those on one sample lie on each other as rings."""
    same = sample[:, None] == sample
    above = np.triu(same, k=1).sum(axis=1)
    return (1 + RING_WIDTH * above) ** 2


def positives_figure(
    moments: Mapping[str, PositiveSamples], images: Sequence[np.ndarray], caption: str = ""
) -> Figure:
    """The same images below each other at several moments, such as before and after training.

    Args:
        moments: title of a row -> positive samples of the batch.
        images: the batch, each (H, W, 3) RGB; the columns.
        caption: what one sees.
    """
    figure, axes = panel_grid(len(moments), len(images), caption)
    for row, (title, samples) in zip(axes, moments.items(), strict=True):
        for index, (ax, image) in enumerate(zip(row, images, strict=True)):
            draw_positive_samples(ax, image, samples, index)
            ax.set_title(title, fontsize=10, loc="left", pad=4)
    return figure
