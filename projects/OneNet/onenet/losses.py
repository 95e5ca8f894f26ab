"""Loss terms that stay finite, and free of synchronisation, for every assignment."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from fvcore.nn import sigmoid_focal_loss
from torch import Tensor
from torch.autograd.function import once_differentiable

from .geometry import elementwise_iou_giou, encode_ltrb, gather_samples
from .structures import Assignment, GroundTruth, Predictions, Priors


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
    return (near / far.clamp(min=torch.finfo(far.dtype).tiny)).prod(dim=-1).sqrt()


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
