"""The cells of both corners of an object, with a Gaussian of lighter negatives around each."""

from __future__ import annotations

import math

import torch
from onenet import Assigner, Assignment, GroundTruth, Predictions, Priors
from onenet.assignment import Condition, Explanation
from onenet.assignment.pieces import check_max_pairs
from onenet.errors import ConfigError
from torch import Tensor

from .gaussians import (
    GaussianCells,
    distance_and_gaussian,
    explain_weights,
    lighter_negatives,
)


class CornerCells(Assigner):
    """The cells of the top-left and the bottom-right corner are positive, each on its own map.

    1. A ground truth has two slots, of its top-left corner among the first G, of its bottom-right
       corner among the last. Their samples are the cells that hold the corners, or the nearest ones
       where a corner lies beyond the map.
    2. A Gaussian Y around either cell, cut off at a radius (:func:`corner_radius`), says how nearly
       right the cells around are, and the class loss of a negative is scaled by ``(1 - Y)^4``, as
       for :class:`CenterNet`.

    Source: CornerNet (Law and Deng, ECCV 2018), section 3.2; princeton-vl/CornerNet
    ``sample/utils.py`` and ``sample/coco.py``.
    """

    def __init__(self, *, min_overlap: float = 0.3, max_pairs: int = 0):
        """
        Args:
            min_overlap: the radius is the shift of both corners that leaves this IoU, in (0, 1).
            max_pairs: see :class:`CenterNet`.

        Raises:
            ConfigError: a value out of its range.
        """
        super().__init__()
        if not 0 < min_overlap < 1:
            raise ConfigError(
                "MODEL.OneNet.ASSIGNER.CORNERNET.MIN_OVERLAP must lie between 0 and 1, "
                f"got {min_overlap}."
            )
        self.min_overlap = min_overlap
        self.max_pairs = check_max_pairs(max_pairs)

    @torch.no_grad()
    def forward(self, priors: Priors, predictions: Predictions, gt: GroundTruth) -> Assignment:
        cells = self.locate(priors, gt)
        labels = gt.labels.repeat(1, 2)
        slots = torch.arange(gt.labels.shape[1], device=labels.device).repeat(2)
        num_samples, num_classes = predictions.logits.shape[1:]
        reach = self._largest_radius(priors.level_sizes[0])
        weight = lighter_negatives(cells, labels, num_classes, num_samples, reach, self.max_pairs)
        # A pair keeps its weight also where it lies under the Gaussian of another object.
        kept = cells.kept.float()
        weight.flatten(1).scatter_reduce_(1, labels * num_samples + cells.location, kept, "amax")
        return Assignment(
            sample=cells.location,
            gt=slots.expand_as(labels),
            weight=kept,
            score=torch.ones_like(kept),
            cls_weight=weight.transpose(1, 2),
        )

    @torch.no_grad()
    def explain(self, priors: Priors, predictions: Predictions, gt: GroundTruth) -> Explanation:
        cells = self.locate(priors, gt)
        distance, gaussian = distance_and_gaussian(cells, len(priors))
        # A sample has to do with one corner of each object, that of its own map.
        distance, gaussian = _of_corners(distance).amin(dim=1), _of_corners(gaussian).amax(dim=1)
        weights, ignored = explain_weights(self(priors, predictions, gt), gt, gaussian)
        quantities = {
            "distance from the corner (cells)": distance,
            "radius of the Gaussian (cells)": _of_corners(cells.radius[..., None])[:, 0],
            **weights,
        }
        cell = Condition("the cell of the corner", distance == 0, -distance, "cells")
        return Explanation.of(gt, len(priors), quantities, [cell], ignored)

    def locate(self, priors: Priors, gt: GroundTruth) -> GaussianCells:
        """Cell and radius of the G top-left corners, and then of the G bottom-right corners.

        Args:
            priors: the cells of the map of top-left corners, and then those of the other map, which
                has the same shape.
            gt: G padded ground truths for each of B images.
        """
        rows, columns = priors.shapes[0]
        low, high = (gt.boxes / priors.stride[0]).split(2, dim=-1)
        width, height = (high - low).ceil().clamp(min=0).unbind(-1)
        # No object is larger than the map, so that no radius is beyond the largest.
        width, height = width.clamp(max=columns), height.clamp(max=rows)
        x, y = torch.cat([low, high], dim=1).floor().long().unbind(-1)
        bottom_right = torch.arange(x.shape[1], device=x.device) >= gt.labels.shape[1]
        return GaussianCells(
            x=x.clamp(0, columns - 1),
            y=y.clamp(0, rows - 1),
            radius=corner_radius(height, width, self.min_overlap).long().repeat(1, 2),
            kept=gt.valid.repeat(1, 2),
            first=(bottom_right * (rows * columns)).expand_as(x),
            columns=torch.full_like(x, columns),
            rows=torch.full_like(x, rows),
        )

    def _largest_radius(self, num_cells: int) -> int:
        """Largest :func:`corner_radius` on a feature map of any shape with that many cells.

        For a given area, that of corners that move inwards is largest for a square.
        """
        return math.ceil(math.sqrt(num_cells) * (1 - math.sqrt(self.min_overlap)) / 2)


def _of_corners(values: Tensor) -> Tensor:
    """(B, 2, G, ...) of values (B, 2 G, ...) in the order of :meth:`CornerCells.locate`."""
    return values.unflatten(1, (2, -1))


def corner_radius(height: Tensor, width: Tensor, min_overlap: float) -> Tensor:
    """How far both corners of a box may move until the IoU can fall to ``min_overlap``.

    The least of three: both corners move along the box, both inwards, both outwards. The official
    code of CenterNet divides the second and the third by 2 instead, and so has larger ones.

    Args:
        height: (...) in cells.
        width: (...) in cells.
        min_overlap: in (0, 1).

    Returns:
        (...) float64, in cells.
    """
    height, width = height.double(), width.double()
    total, area = height + width, height * width
    rest = (1 - min_overlap) * area
    shifted = (total - (total**2 - 4 * rest / (1 + min_overlap)).sqrt()) / 2
    inwards = (2 * total - (4 * total**2 - 16 * rest).sqrt()) / 8
    grown = 2 * min_overlap * total
    outwards = ((grown**2 + 16 * min_overlap * rest).sqrt() - grown) / (8 * min_overlap)
    return torch.minimum(torch.minimum(shifted, inwards), outwards)
