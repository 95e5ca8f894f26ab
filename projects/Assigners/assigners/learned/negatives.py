"""What the learned rules have in common: negatives that count by how negative they are."""

from __future__ import annotations

import torch
from onenet import Predictions
from onenet.assignment.pieces import piece_size
from torch import Tensor
from torch.autograd.function import once_differentiable

LEAST_REST = 1e-30  # of 1 - q, so that neither its logarithm nor its inverse overflows


def add_positives(positive: Tensor, labels: Tensor, values: Tensor) -> None:
    """Raise how positive samples are for classes, to the largest value of a ground truth.

    Args:
        positive: (B, K, r), changed in place.
        labels: (B, G) int64, classes of the ground truths.
        values: (B, G, r), how far a sample stands for a ground truth.
    """
    positive.scatter_reduce_(1, labels[..., None].expand_as(values), values, "amax")


def set_last_positives(positive: Tensor, labels: Tensor, values: Tensor) -> None:
    """The same, but the last ground truth with a value above 0 sets it."""
    slots = torch.arange(1, labels.shape[1] + 1, device=labels.device)[:, None]
    last = torch.zeros_like(positive, dtype=torch.int64)
    add_positives(last, labels, slots * (values > 0))
    value = values.gather(1, (last - 1).clamp_(min=0))
    positive.copy_(torch.where(last > 0, value, positive))


def negative_loss(predictions: Predictions, positive: Tensor) -> Tensor:
    """``q^2 * -log(1 - q)`` with ``q = (1 - positive) * score``, summed.

    The score is sigmoid(class), times sigmoid(quality) if there is one. Nothing overflows, and the
    gradient stays where a score is 1.

    Args:
        predictions: float32.
        positive: (B, K, R) in [0, 1], how positive a sample is for a class.

    Returns:
        () the sum.
    """
    logits = predictions.logits.transpose(1, 2)
    return _NegativeLoss.apply(logits, predictions.quality, positive)


class _NegativeLoss(torch.autograd.Function):
    """Keeps the derivatives, where autograd would keep a dozen tensors of the size of the logits.

    Some classes at a time, as many as a cache holds.
    """

    @staticmethod
    def forward(ctx, logits: Tensor, quality: Tensor | None, positive: Tensor) -> Tensor:
        images, _, samples = logits.shape
        step = piece_size(0, images * samples, logits.device)
        slope, loss = torch.empty_like(logits), logits.new_zeros(())
        of_quality = None if quality is None else torch.zeros_like(quality)
        parts = (x.split(step, dim=1) for x in (logits, positive, slope))
        for x, given, part in zip(*parts, strict=True):
            piece, common = _negatives(x, quality, given)
            loss += piece
            torch.mul(common, torch.sigmoid(-x), out=part)
            if of_quality is not None:
                of_quality += common.sum(dim=1)
        if of_quality is not None:
            of_quality *= torch.sigmoid(-quality)
        ctx.save_for_backward(slope, of_quality)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):
        slope, of_quality = ctx.saved_tensors
        return slope * grad, None if of_quality is None else of_quality * grad, None


def _negatives(logits: Tensor, quality: Tensor | None, positive: Tensor) -> tuple[Tensor, Tensor]:
    """The sum, and the derivative by each logarithm of a score: ``q^2 (2 CE + q / (1 - q))``."""
    score, complement = logits.sigmoid(), logits.neg().sigmoid_()
    if quality is not None:
        factor, lack = quality.sigmoid()[:, None], quality.neg().sigmoid()[:, None]
        complement = complement.addcmul_(score, lack)  # 1 - score, without cancellation
        score = score.mul_(factor)
    negative = 1 - positive
    rest = torch.addcmul(positive, negative, complement).clamp_(min=LEAST_REST)
    q = score.mul_(negative)
    cross_entropy, square = rest.log().neg_(), q * q
    loss = (square * cross_entropy).sum()
    return loss, q.div_(rest).add_(cross_entropy, alpha=2).mul_(square)
