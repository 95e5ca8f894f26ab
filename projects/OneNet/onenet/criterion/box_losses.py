"""Losses of the boxes at the pairs."""

from __future__ import annotations

import torch
from torch import Tensor

from ..geometry import elementwise_iou_giou, gather_samples
from ..structures import Assignment, GroundTruth, Predictions, Priors
from .base import Loss


class L1GIoULoss(Loss):
    """``loss_bbox``, the normalised L1 loss, and ``loss_giou``. Source: OneNet, section 3.3."""

    def __init__(self, *, l1_weight: float = 5.0, giou_weight: float = 2.0):
        """
        Args:
            l1_weight, giou_weight: factors of the losses.
        """
        super().__init__()
        self.l1_weight = l1_weight
        self.giou_weight = giou_weight

    def forward(
        self,
        priors: Priors,
        predictions: Predictions,
        assignment: Assignment,
        gt: GroundTruth,
        normalizer: Tensor,
    ) -> dict[str, Tensor]:
        giou, l1 = box_losses(predictions, assignment, gt)
        return {
            "loss_giou": giou * (self.giou_weight / normalizer),
            "loss_bbox": l1 * (self.l1_weight / normalizer),
        }


def box_losses(
    predictions: Predictions, assignment: Assignment, gt: GroundTruth
) -> tuple[Tensor, Tensor]:
    """GIoU and L1 loss over the pairs, each weighted and summed.

    Returns:
        ``1 - GIoU`` () and the four absolute differences in units of the image's width and height
        (), as in OneNet's criterion.
    """
    used = assignment.positive[..., None]
    target = gather_samples(gt.boxes, assignment.gt)
    # Unused slots compare a target with itself: 0 * NaN would be NaN, also in the gradient.
    boxes = gather_samples(predictions.boxes.float(), assignment.sample)
    boxes = torch.where(used, boxes, target)
    _, giou = elementwise_iou_giou(boxes, target)
    l1 = ((boxes - target) / gt.scale).abs().sum(dim=-1)
    return ((1 - giou) * assignment.weight).sum(), (l1 * assignment.weight).sum()
