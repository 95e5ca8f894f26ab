"""What the learned rules have in common: negatives that count by how negative they are."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

import torch
from onenet import Predictions
from onenet.assignment.pieces import piece_size
from torch import Tensor
from torch.autograd.function import once_differentiable

LARGEST_EXPONENT = 80.0  # of e, that float32 holds
LEAST_REST = 1e-30  # of 1 - q, so that neither its logarithm nor its inverse overflows


def add_positives(positive: Tensor, labels: Tensor, values: Tensor) -> None:
    """Raise how positive samples are for classes, to the largest value of a ground truth.

    Args:
        positive: (B, K, r) contiguous, changed in place.
        labels: (B, G) int64, classes of the ground truths.
        values: (B, G, r), how far a sample stands for a ground truth.
    """
    images, num_classes, samples = positive.shape
    # As rows of a matrix, for which PyTorch has a kernel that is ten times as fast on a CPU.
    first = torch.arange(images, device=labels.device)[:, None] * num_classes
    row = (first + labels).view(-1, 1).expand(-1, samples)
    positive.view(-1, samples).scatter_reduce_(0, row, values.flatten(0, 1), "amax")


def set_last_positives(positive: Tensor, labels: Tensor, values: Tensor) -> None:
    """The same, but the last ground truth with a value above 0 sets it."""
    slots = torch.arange(1, labels.shape[1] + 1, device=labels.device)[:, None]
    last = torch.zeros_like(positive, dtype=torch.int64)
    add_positives(last, labels, slots * (values > 0))
    value = values.gather(1, (last - 1).clamp_(min=0))
    positive.copy_(torch.where(last > 0, value, positive))


def negative_loss(
    predictions: Predictions, positives: Iterable[Tensor], kept: Tensor | None = None
) -> Tensor:
    """``q^2 * -log(1 - q)`` with ``q = (1 - positive) * score``, summed.

    The score is sigmoid(class), times sigmoid(quality) if there is one. Nothing overflows, and the
    gradient stays where a score is 1.

    Args:
        predictions: float32.
        positives: how positive samples are for classes, in [0, 1], as consecutive pieces
            (B, K, r) of the samples, which may be changed; each is made when it is needed.
        kept: (B, R) bool, the samples that count; None = all.

    Returns:
        () the sum.
    """
    logits = predictions.logits.transpose(1, 2)
    return _NegativeLoss.apply(logits, predictions.quality, positives, kept)


class _NegativeLoss(torch.autograd.Function):
    """Keeps the derivatives, where autograd would keep a dozen tensors of the size of the logits.

    Some samples at a time, as many as a cache holds.
    """

    @staticmethod
    def forward(
        ctx,
        logits: Tensor,
        quality: Tensor | None,
        positives: Iterable[Tensor],
        kept: Tensor | None,
    ) -> Tensor:
        images, num_classes, _ = logits.shape
        step = piece_size(0, images * num_classes, logits.device)
        slope, loss, start = torch.empty_like(logits), logits.new_zeros(()), 0
        of_quality = None if quality is None else torch.empty_like(quality)
        for positive in chain.from_iterable(x.split(step, dim=2) for x in positives):
            part = slice(start, start := start + positive.shape[2])
            factor = None if quality is None else quality[:, None, part]
            if kept is not None:
                positive.masked_fill_(~kept[:, None, part], 1)
            piece, by_score, complement = _negatives(logits[..., part], factor, positive)
            loss += piece
            torch.mul(by_score, complement, out=slope[..., part])
            if of_quality is not None:
                of_quality[:, part] = by_score.sum(dim=1)
        if of_quality is not None:
            of_quality *= torch.sigmoid(-quality)
        ctx.save_for_backward(slope, of_quality)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):
        slope, of_quality = ctx.saved_tensors
        return slope * grad, None if of_quality is None else of_quality * grad, None, None


def _negatives(
    logits: Tensor, quality: Tensor | None, positive: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The sum, the derivative by each logarithm of a score, and what makes it that by each logit.

    The derivative is ``q^2 (2 CE + q / (1 - q))``, the other 1 - sigmoid(class).
    """
    odds = logits.neg().clamp_(max=LARGEST_EXPONENT).exp_()  # against the class
    score = (odds + 1).reciprocal_()
    complement = missing = odds.mul_(score)  # 1 - score, without cancellation
    if quality is not None:
        missing = torch.addcmul(complement, score, quality.neg().sigmoid())
        score = score.mul_(quality.sigmoid())
    negative = 1 - positive
    rest = torch.addcmul(positive, negative, missing).clamp_(min=LEAST_REST)
    q = score.mul_(negative)
    square = q * q
    by_score, log_rest = q.div_(rest), rest.log_()
    loss = -(square * log_rest).sum()
    return loss, by_score.sub_(log_rest, alpha=2).mul_(square), complement
