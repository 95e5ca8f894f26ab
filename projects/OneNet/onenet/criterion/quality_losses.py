"""Losses of the quality branch, by what it is to tell."""

from __future__ import annotations

import torch
from torch import Tensor

from ..geometry import elementwise_iou, encode_ltrb, gather_samples
from ..structures import Assignment, GroundTruth, Predictions, Priors
from .base import Loss
from .box_losses import paired_boxes
from .class_loss import binary_cross_entropy


class QualityLoss(Loss):
    """``loss_quality``, where the head has a quality branch; subclasses say what that means."""

    def __init__(self, *, weight: float = 1.0):
        """
        Args:
            weight: factor of the loss.
        """
        super().__init__()
        self.weight = weight

    def total(
        self, priors: Priors, predictions: Predictions, assignment: Assignment, gt: GroundTruth
    ) -> Tensor:
        """The loss, summed over the batch, ()."""
        raise NotImplementedError

    def forward(
        self,
        priors: Priors,
        predictions: Predictions,
        assignment: Assignment,
        gt: GroundTruth,
        normalizer: Tensor,
    ) -> dict[str, Tensor]:
        if predictions.quality is None:
            return {}
        loss = self.total(priors, predictions, assignment, gt)
        return {"loss_quality": loss * (self.weight / normalizer)}


class CenternessLoss(QualityLoss):
    """Cross-entropy with the centerness at the pairs, weighted as their box losses.

    Source: FCOS (Tian et al., ICCV 2019), equation 3.
    """

    def total(
        self, priors: Priors, predictions: Predictions, assignment: Assignment, gt: GroundTruth
    ) -> Tensor:
        target = centerness(
            priors.points[assignment.sample], gather_samples(gt.boxes, assignment.gt)
        )
        return (_at_pairs(predictions, assignment, target) * assignment.weight).sum()


class IoULoss(QualityLoss):
    """Cross-entropy with the IoU of the predicted box at the pairs.

    Source: IoU-aware RetinaNet (Wu et al., 2019); PAA and OTA have it.
    """

    def total(
        self, priors: Priors, predictions: Predictions, assignment: Assignment, gt: GroundTruth
    ) -> Tensor:
        boxes, targets = paired_boxes(predictions.detach(), assignment, gt)
        loss = _at_pairs(predictions, assignment, elementwise_iou(boxes, targets))
        return (loss * assignment.positive).sum()


class ObjectnessLoss(QualityLoss):
    """Cross-entropy of every sample, 1 where there is a pair; ignored samples have none.

    Source: YOLOv3 (Redmon and Farhadi, 2018), section 2.1. Classes then learn at the pairs alone,
    see :class:`ClassesOfObjects`.
    """

    def total(
        self, priors: Priors, predictions: Predictions, assignment: Assignment, gt: GroundTruth
    ) -> Tensor:
        positive = assignment.positive_samples()
        loss = binary_cross_entropy(predictions.quality.float(), positive.float())
        if assignment.cls_weight is not None:
            weight = assignment.cls_weight.amax(dim=-1)
            loss = loss * torch.where(positive, 1, weight)
        return loss.sum()


class ClassesOfObjects(Loss):
    """A class loss of the positive samples alone, where objectness tells them from the others."""

    def __init__(self, loss: Loss):
        """
        Args:
            loss: of the classes.
        """
        super().__init__()
        self.loss = loss

    def forward(
        self,
        priors: Priors,
        predictions: Predictions,
        assignment: Assignment,
        gt: GroundTruth,
        normalizer: Tensor,
    ) -> dict[str, Tensor]:
        if predictions.quality is not None:
            assignment = assignment.keep(assignment.positive_samples())
        return self.loss(priors, predictions, assignment, gt, normalizer)


def _at_pairs(predictions: Predictions, assignment: Assignment, target: Tensor) -> Tensor:
    """Cross-entropy (B, P) of the quality of each pair's sample."""
    logits = gather_samples(predictions.quality.float(), assignment.sample)
    # Unused slots: 0 * NaN would be NaN, also in the gradient.
    logits = logits.masked_fill(~assignment.positive, 0)
    return binary_cross_entropy(logits, target)


def centerness(points: Tensor, boxes: Tensor) -> Tensor:
    """How central points lie in boxes: 1 in the centre, 0 on the border and outside.

    ``sqrt(min(l, r) / max(l, r) * min(t, b) / max(t, b))``. Source: FCOS, equation 3.

    Args:
        points: (..., 2) pixels.
        boxes: (..., 4) pixels.

    Returns:
        (...) in [0, 1].
    """
    distances = encode_ltrb(points, boxes).clamp(min=0)
    near = torch.minimum(distances[..., :2], distances[..., 2:])
    far = torch.maximum(distances[..., :2], distances[..., 2:])
    horizontal, vertical = (near / far.clamp(min=torch.finfo(far.dtype).tiny)).unbind(-1)
    return (horizontal * vertical).sqrt()
