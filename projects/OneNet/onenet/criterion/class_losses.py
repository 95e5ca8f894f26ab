"""Losses of the class logits, at all samples."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from fvcore.nn import sigmoid_focal_loss
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..structures import Assignment, GroundTruth, Predictions, Priors
from .base import Loss


class FocalLoss(Loss):
    """``loss_ce``, the sigmoid focal loss over all samples and classes."""

    def __init__(self, *, weight: float = 2.0, alpha: float = 0.25, gamma: float = 2.0):
        """
        Args:
            weight: factor of the loss.
            alpha, gamma: as in Lin et al., "Focal Loss for Dense Object Detection".
        """
        super().__init__()
        self.weight = weight
        self.alpha = alpha
        self.gamma = gamma

    def forward(
        self,
        priors: Priors,
        predictions: Predictions,
        assignment: Assignment,
        gt: GroundTruth,
        normalizer: Tensor,
    ) -> dict[str, Tensor]:
        loss = classification_loss(predictions, assignment, gt, self.alpha, self.gamma)
        return {"loss_ce": loss * (self.weight / normalizer)}


class _NegativeFocalLoss(torch.autograd.Function):
    """Sum over all elements of the focal loss with target 0.

    Almost every element of a dense detector is a negative, so this is where the time of the class
    loss goes. With target 0 the gradient is a product of what the forward pass has computed anyway;
    keeping only that one tensor halves the time and the memory of what autograd would record.
    """

    @staticmethod
    def forward(ctx, logits: Tensor, weight: Tensor | None, alpha: float, gamma: float) -> Tensor:
        p = logits.sigmoid()
        # (1 - alpha) p^gamma softplus(x), and its derivative
        # (1 - alpha) p^gamma (gamma (1 - p) softplus(x) + p).
        modulation = p.pow(gamma).mul_(1 - alpha)
        if weight is not None:
            modulation.mul_(weight)
        cross_entropy = F.softplus(logits)
        loss = (modulation * cross_entropy).sum()
        if ctx.needs_input_grad[0]:
            slope = cross_entropy.mul_(gamma).addcmul_(cross_entropy, p, value=-1).add_(p)
            ctx.save_for_backward(slope.mul_(modulation))
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):
        (slope,) = ctx.saved_tensors
        return slope * grad, None, None, None


def negative_focal_loss(
    logits: Tensor, weight: Tensor | None = None, alpha: float = 0.25, gamma: float = 2.0
) -> Tensor:
    """Focal loss of logits whose targets are all 0, summed.

    Args:
        logits: (B, R, K) float32 or float64.
        weight: broadcastable to ``logits``; None = 1.
        alpha, gamma: as in Lin et al., "Focal Loss for Dense Object Detection".

    Returns:
        () the sum.
    """
    return _NegativeFocalLoss.apply(logits, weight, alpha, gamma)


def classification_loss(
    predictions: Predictions,
    assignment: Assignment,
    gt: GroundTruth,
    alpha: float = 0.25,
    gamma: float = 2.0,
) -> Tensor:
    """Sigmoid focal loss over all R x K elements of B images, summed.

    The target of a (sample, class) is the largest ``score`` of its pairs, 0 where it has none;
    ``cls_weight`` scales each element.

    Returns:
        () float32.
    """
    logits = predictions.logits.float()
    weight = assignment.cls_weight
    background = negative_focal_loss(logits, weight, alpha, gamma)

    labels = gt.labels.gather(1, assignment.gt)
    chosen = _highest_of_each_target(assignment, labels, logits.shape[-1])
    image = torch.arange(len(labels), device=labels.device)[:, None]
    index = (image, assignment.sample, labels)
    pair_logits = logits[index]
    target = assignment.score
    correction = _focal(pair_logits, target, alpha, gamma)
    correction = correction - _focal(pair_logits, torch.zeros_like(target), alpha, gamma)
    if weight is not None:
        correction = correction * weight.expand_as(logits)[index]
    return background + correction.masked_fill(~chosen, 0).sum()


def _focal(logits: Tensor, targets: Tensor, alpha: float, gamma: float) -> Tensor:
    return sigmoid_focal_loss(logits, targets, alpha=alpha, gamma=gamma, reduction="none")


def _highest_of_each_target(assignment: Assignment, labels: Tensor, num_classes: int) -> Tensor:
    """(B, P) bool: of the used slots of one (sample, class), the one with the largest score.

    Ground truths may share a sample; if they share the class too, its loss still counts once.
    """
    key = (assignment.sample * num_classes + labels).masked_fill(~assignment.positive, -1)
    by_score = assignment.score.argsort(dim=1, descending=True, stable=True)
    by_key = key.gather(1, by_score).argsort(dim=1, stable=True)
    order = by_score.gather(1, by_key)
    key = key.gather(1, order)
    first = torch.ones_like(key, dtype=torch.bool)
    first[:, 1:] = key[:, 1:] != key[:, :-1]
    return torch.zeros_like(first).scatter(1, order, first & (key >= 0))
