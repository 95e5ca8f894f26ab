"""Losses of the quality branch at the pairs."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..geometry import encode_ltrb, gather_samples
from ..structures import Assignment, GroundTruth, Predictions, Priors
from .base import Loss


class CenternessLoss(Loss):
    """``loss_quality``, where the head has a quality branch."""

    def __init__(self, *, weight: float = 1.0):
        """
        Args:
            weight: factor of the loss.
        """
        super().__init__()
        self.weight = weight

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
        loss = quality_loss(predictions, assignment, gt, priors)
        return {"loss_quality": loss * (self.weight / normalizer)}


def quality_loss(
    predictions: Predictions, assignment: Assignment, gt: GroundTruth, priors: Priors
) -> Tensor:
    """Binary cross-entropy of the centerness branch over the pairs, weighted and summed.

    Source: FCOS (Tian et al., ICCV 2019), equation 3.
    """
    logits = gather_samples(predictions.quality.float(), assignment.sample)
    # Unused slots: 0 * NaN would be NaN, also in the gradient.
    logits = logits.masked_fill(~assignment.positive, 0)
    target = centerness(priors.points[assignment.sample], gather_samples(gt.boxes, assignment.gt))
    loss = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return (loss * assignment.weight).sum()


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
