"""Losses of the boxes at the pairs."""

from __future__ import annotations

from collections.abc import Callable

import torch
from detectron2.config import configurable
from torch import Tensor

from ..geometry import elementwise_ciou, elementwise_diou, elementwise_iou_giou, gather_samples
from ..structures import Assignment, GroundTruth, Predictions, Priors
from .base import Loss


class L1GIoULoss(Loss):
    """``loss_bbox``, the normalised L1 loss, and ``loss_giou``. Source: OneNet, section 3.3."""

    overlap_name = "giou"

    @configurable
    def __init__(self, *, l1_weight: float = 5.0, giou_weight: float = 2.0):
        """
        Args:
            l1_weight, giou_weight: factors of the two losses.
        """
        super().__init__()
        self.l1_weight = l1_weight
        self.giou_weight = giou_weight

    @classmethod
    def from_config(cls, cfg):
        onenet = cfg.MODEL.OneNet
        return {"l1_weight": onenet.L1_WEIGHT, "giou_weight": onenet.GIOU_WEIGHT}

    @staticmethod
    def overlap(boxes: Tensor, targets: Tensor) -> Tensor:
        """The measure (...), at most 1, of corresponding boxes (..., 4) whose lack is the loss."""
        return elementwise_iou_giou(boxes, targets)[1]

    def forward(
        self,
        priors: Priors,
        predictions: Predictions,
        assignment: Assignment,
        gt: GroundTruth,
        normalizer: Tensor,
    ) -> dict[str, Tensor]:
        overlap, l1 = box_losses(predictions, assignment, gt, self.overlap)
        return {
            f"loss_{self.overlap_name}": overlap * (self.giou_weight / normalizer),
            "loss_bbox": l1 * (self.l1_weight / normalizer),
        }


class L1DIoULoss(L1GIoULoss):
    """``loss_bbox`` and ``loss_diou``, which pulls the centres together."""

    overlap_name = "diou"
    overlap = staticmethod(elementwise_diou)


class L1CIoULoss(L1GIoULoss):
    """``loss_bbox`` and ``loss_ciou``, which also compares the aspect ratios."""

    overlap_name = "ciou"
    overlap = staticmethod(elementwise_ciou)


def box_losses(
    predictions: Predictions,
    assignment: Assignment,
    gt: GroundTruth,
    overlap: Callable[[Tensor, Tensor], Tensor],
) -> tuple[Tensor, Tensor]:
    """Overlap and L1 loss over the pairs, each weighted and summed.

    Returns:
        ``1 - overlap`` () and the four absolute differences in units of the image's width and
        height (), as in OneNet's criterion.
    """
    boxes, target = paired_boxes(predictions, assignment, gt)
    lack = 1 - overlap(boxes, target)
    l1 = ((boxes - target) / gt.scale).abs().sum(dim=-1)
    return (lack * assignment.weight).sum(), (l1 * assignment.weight).sum()


def paired_boxes(
    predictions: Predictions, assignment: Assignment, gt: GroundTruth
) -> tuple[Tensor, Tensor]:
    """Predicted box and ground truth of each pair, each (B, P, 4), the same two in unused slots."""
    target = gather_samples(gt.boxes, assignment.gt)
    # Unused slots compare a target with itself: 0 * NaN would be NaN, also in the gradient.
    boxes = gather_samples(predictions.boxes.float(), assignment.sample)
    return torch.where(assignment.positive[..., None], boxes, target), target


def paired_priors(priors: Priors, assignment: Assignment) -> Tensor:
    """Prior box of each pair, (B, P, 4)."""
    if priors.boxes.dim() == 3:
        return gather_samples(priors.boxes, assignment.sample)
    return priors.boxes[assignment.sample]
