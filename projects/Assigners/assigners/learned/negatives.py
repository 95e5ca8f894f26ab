"""What the learned rules have in common: negatives that count by how negative they are."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def negative_weights(labels: Tensor, positiveness: Tensor, num_classes: int) -> Tensor:
    """How negative each sample is for each class.

    Args:
        labels: (B, G) int64.
        positiveness: (B, G, r) at most 1, how far a sample stands for a ground truth; below 0 is 0.
        num_classes: K.

    Returns:
        (B, K, r): 1 less the largest positiveness for a ground truth of the class.
    """
    return 1 - _largest_of_class(labels, positiveness, num_classes)


def last_negative_weights(labels: Tensor, positiveness: Tensor, num_classes: int) -> Tensor:
    """The same, but of several ground truths of a class the last one with a positiveness counts."""
    slots = torch.arange(1, labels.shape[1] + 1, device=labels.device)[:, None]
    last = _largest_of_class(labels, slots * (positiveness > 0), num_classes)
    value = positiveness.gather(1, (last - 1).clamp_(min=0))
    return 1 - value.masked_fill_(last == 0, 0)


def _largest_of_class(labels: Tensor, values: Tensor, num_classes: int) -> Tensor:
    """(B, K, r), the largest of the values (B, G, r) of a class (B, G), at least 0."""
    batch, _, samples = values.shape
    largest = values.new_zeros(batch, num_classes, samples)
    return largest.scatter_reduce_(1, labels[..., None].expand_as(values), values, "amax")


def negative_loss(logits: Tensor, weight: Tensor) -> Tensor:
    """``q^2 * -log(1 - q)`` with ``q = weight * sigmoid(logits)``, summed.

    It neither overflows nor loses its gradient where a score is 1.

    Args:
        logits: (B, R, K) float32.
        weight: (B, R, K) in [0, 1]; has no gradient.

    Returns:
        () the sum.
    """
    return _NegativeLoss.apply(logits, weight)


class _NegativeLoss(torch.autograd.Function):
    """Keeps one tensor, the derivative, where autograd would keep eight."""

    @staticmethod
    def forward(ctx, logits: Tensor, weight: Tensor) -> Tensor:
        q = logits.sigmoid().mul_(weight)
        complement = logits.neg().sigmoid_()  # 1 - sigmoid, without cancellation
        rest = torch.addcmul(1 - weight, weight, complement)  # 1 - q
        rest.clamp_(min=torch.finfo(rest.dtype).tiny)
        cross_entropy = rest.log().neg_()
        square = q * q
        loss = (square * cross_entropy).sum()
        if ctx.needs_input_grad[0]:
            # q^2 (2 c CE + c q / (1 - q)), c being the complement.
            slope = q.div_(rest).add_(cross_entropy, alpha=2).mul_(complement).mul_(square)
            ctx.save_for_backward(slope)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):
        (slope,) = ctx.saved_tensors
        return slope * grad, None
