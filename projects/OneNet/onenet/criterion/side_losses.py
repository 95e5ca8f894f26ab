"""Losses of four numbers a box that come alone, without that of an overlap."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from detectron2.config import configurable
from torch import Tensor

from ..geometry import box_centers, encode_offsets
from ..structures import Assignment, GroundTruth, Predictions, Priors
from .base import Loss
from .box_losses import paired_boxes, paired_priors

# Offsets are divided by these, so that all four are about as large; as in SSD and R-CNN.
SHIFT_STD, SCALE_STD = 0.1, 0.2


class SideLoss(Loss):
    """A loss of four numbers for each pair, weighted and summed; subclasses say which."""

    name = "loss_bbox"

    @configurable
    def __init__(self, *, weight: float = 5.0):
        """
        Args:
            weight: factor of the loss.
        """
        super().__init__()
        self.weight = weight

    @classmethod
    def from_config(cls, cfg):
        return {"weight": cfg.MODEL.OneNet.L1_WEIGHT}

    def each(self, boxes: Tensor, targets: Tensor, priors: Tensor) -> Tensor:
        """The loss (B, P, 4) of predicted boxes, ground truths and prior boxes, each (B, P, 4)."""
        raise NotImplementedError

    def forward(
        self,
        priors: Priors,
        predictions: Predictions,
        assignment: Assignment,
        gt: GroundTruth,
        normalizer: Tensor,
    ) -> dict[str, Tensor]:
        boxes, targets = paired_boxes(predictions, assignment, gt)
        loss = self.each(boxes, targets, paired_priors(priors, assignment)).sum(dim=-1)
        return {self.name: (loss * assignment.weight).sum() * (self.weight / normalizer)}


class SmoothL1Loss(SideLoss):
    """``loss_bbox``: smooth L1 of the offsets from the prior box, with beta 1.

    Source: Fast R-CNN (Girshick, ICCV 2015); in one-stage detectors SSD (Liu et al., ECCV 2016).
    """

    def each(self, boxes: Tensor, targets: Tensor, priors: Tensor) -> Tensor:
        difference = offset_difference(boxes, targets, priors)
        return F.smooth_l1_loss(difference, torch.zeros_like(difference), reduction="none")


class BalancedL1Loss(SideLoss):
    """``loss_bbox``: balanced L1 of the offsets from the prior box, see :func:`balanced_l1`."""

    def each(self, boxes: Tensor, targets: Tensor, priors: Tensor) -> Tensor:
        return balanced_l1(offset_difference(boxes, targets, priors))


class BoundedIoULoss(SideLoss):
    """``loss_bounded_iou``, see :func:`bounded_iou`."""

    name = "loss_bounded_iou"

    @classmethod
    def from_config(cls, cfg):
        return {"weight": cfg.MODEL.OneNet.GIOU_WEIGHT}

    def each(self, boxes: Tensor, targets: Tensor, priors: Tensor) -> Tensor:
        return bounded_iou(boxes, targets)


def offset_difference(boxes: Tensor, targets: Tensor, priors: Tensor) -> Tensor:
    """Difference of two boxes' offsets from a prior box, in units of their usual spread.

    Args:
        boxes, targets, priors: each (..., 4), pixels.
    """
    difference = encode_offsets(boxes, priors) - encode_offsets(targets, priors)
    # Two numbers, not a tensor of four: that would be a copy to the device in every step.
    return torch.cat([difference[..., :2] / SHIFT_STD, difference[..., 2:] / SCALE_STD], dim=-1)


def balanced_l1(
    difference: Tensor, alpha: float = 0.5, gamma: float = 1.5, beta: float = 1.0
) -> Tensor:
    """An L1 loss whose small differences have a larger gradient than smooth L1 gives them.

    Source: Libra R-CNN (Pang et al., CVPR 2019), section 3.3.

    Args:
        difference: of any shape.
        alpha: the lower, the larger the gradient of small differences.
        gamma: largest gradient.
        beta: difference from which on the loss is linear.

    Returns:
        The loss of each element.
    """
    size = difference.abs()
    b = math.exp(gamma / alpha) - 1
    small = size.clamp(max=beta)  # where it is not small: no overflow, and no gradient from here
    curved = alpha / b * (b * small + 1) * (b * small / beta + 1).log() - alpha * small
    return torch.where(size < beta, curved, gamma * size + gamma / b - alpha * beta)


def bounded_iou(boxes: Tensor, targets: Tensor, beta: float = 0.2, eps: float = 1e-3) -> Tensor:
    """For each of x, y, w, h what the IoU lacks if boxes differ in that alone, smoothed.

    Source: Tychsen-Smith and Petersson, "Improving Object Localization with Fitness NMS and Bounded
    IoU Loss", CVPR 2018; numbers as in mmdetection.

    Args:
        boxes, targets: (..., 4), pixels.
        beta: from which lack on the loss is linear.
        eps: added to divisors, in pixels.

    Returns:
        (..., 4).
    """
    size, target = boxes[..., 2:] - boxes[..., :2], targets[..., 2:] - targets[..., :2]
    distance = 2 * (box_centers(boxes) - box_centers(targets)).abs()
    shift = 1 - ((target - distance) / (target + distance + eps)).clamp(min=0)
    scale = 1 - torch.minimum(target / (size + eps), size / (target + eps))
    lack = torch.cat([shift, scale], dim=-1)
    return F.smooth_l1_loss(lack, torch.zeros_like(lack), beta=beta, reduction="none")
