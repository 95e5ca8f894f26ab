"""The interface of subsamplers, and ignore regions, the first of them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..geometry import MIN_AREA, box_area
from ..structures import Assignment, GroundTruth, Predictions, Priors
from .pieces import piece_size

IGNORE_OVERLAP = 0.5


class Subsampler(nn.Module):
    """Takes samples out of an assignment, whichever rule made it; see :meth:`Assignment.keep`.

    It obeys the same rules as an :class:`Assigner`.

    Attributes:
        reason: for explanations, what happens to a sample that it takes out.
    """

    reason = "left out by the subsampler"

    def forward(
        self, assignment: Assignment, priors: Priors, predictions: Predictions, gt: GroundTruth
    ) -> Assignment:
        """An assignment of the samples that are to be trained.

        Args:
            assignment: of B images and R samples.
            priors, predictions, gt: what it was made from.
        """
        raise NotImplementedError


class IgnoreRegions(Subsampler):
    """Leaves out negatives whose predicted box lies in an ignore region.

    Such samples are trained neither towards an object nor towards background. This is the rule of
    the CrowdHuman and Caltech evaluations, where a detection that matches nothing is not counted if
    more than half of its own area is in a region: what the metric does not punish, training does
    not punish either. For prior boxes instead of predicted ones it is ``ignore_iof_thr`` (with
    ``ignore_wrt_candidates``) of mmdet's assigners; a prior box is as wide as its level has it, and
    would reach beyond small regions whatever is predicted there.
    """

    reason = "left out in an ignore region"

    @torch.no_grad()
    def forward(
        self, assignment: Assignment, priors: Priors, predictions: Predictions, gt: GroundTruth
    ) -> Assignment:
        if gt.ignore_boxes is None:
            return assignment
        inside = inside_regions(predictions.boxes.float(), gt.ignore_boxes)
        return assignment.keep(~inside | assignment.positive_samples())


def inside_regions(
    boxes: Tensor, regions: Tensor, threshold: float = IGNORE_OVERLAP, max_pairs: int = 0
) -> Tensor:
    """Whether more than ``threshold`` of a box's own area lies in one of the regions.

    Args:
        boxes: (B, R, 4).
        regions: (B, N, 4).
        threshold: intersection over the area of the box; a box without area is outside.
        max_pairs: bounds the memory, not the result; 0 = by device.

    Returns:
        (B, R) bool.
    """
    step = piece_size(max_pairs, regions.shape[0] * regions.shape[1], boxes.device)
    shares = [_covered(piece, regions) for piece in boxes.split(step, dim=1)]
    return torch.cat(shares, dim=1) > threshold


def _covered(boxes: Tensor, regions: Tensor) -> Tensor:
    """Largest share (B, R) of each box (B, R, 4) that one region (B, N, 4) covers."""
    low = torch.maximum(boxes[:, :, None, :2], regions[:, None, :, :2])
    high = torch.minimum(boxes[:, :, None, 2:], regions[:, None, :, 2:])
    width, height = (high - low).clamp(min=0).unbind(-1)
    intersection = (width * height).amax(dim=-1)
    return intersection / box_area(boxes).clamp(min=MIN_AREA)
