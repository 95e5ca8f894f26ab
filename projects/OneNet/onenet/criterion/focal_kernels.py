"""The focal loss of negatives as two kernels for GPUs, of which each goes once over the logits.

The first reads the logits and writes a sum for each block; the second reads them again and writes
the gradient. In between nothing of the size of the logits is kept, where PyTorch's operators read
and write some ten such tensors. Needs Triton, which PyTorch brings for CUDA.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

BLOCK = 4096  # elements that a program handles


@triton.jit
def _terms(x, gamma):
    """For logits x: score, p^gamma and softplus(x), without overflow or cancellation."""
    small = tl.exp(-tl.abs(x))
    # log(1 + small), exact to the last bits also where 1 + small rounds (Kahan).
    whole = 1.0 + small
    rounded = tl.where(whole == 1.0, 1.0, whole - 1.0)
    log1p = tl.where(whole == 1.0, small, tl.log(whole) * (small / rounded))
    log_p = tl.minimum(x, 0.0) - log1p
    return tl.exp(log_p), tl.exp(gamma * log_p), tl.maximum(x, 0.0) + log1p


@triton.jit
def _weights(weight, i, mask, size1, size2, stride0, stride1, stride2):
    """Weights of elements i, counted in the order of the logits' memory."""
    place = i % size2 * stride2 + i // size2 % size1 * stride1 + i // size2 // size1 * stride0
    return tl.load(weight + place, mask=mask, other=0.0)


@triton.jit
def sum_kernel(
    logits, weight, sums, count, size1, size2, stride0, stride1, stride2, alpha, gamma,
    WEIGHTED: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Write the loss of each block of logits."""
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = i < count
    x = tl.load(logits + i, mask=mask, other=0.0)
    p, modulation, softplus = _terms(x, gamma)
    loss = tl.where(mask, (1.0 - alpha) * modulation * softplus, 0.0)
    if WEIGHTED:
        loss *= _weights(weight, i, mask, size1, size2, stride0, stride1, stride2)
    tl.store(sums + tl.program_id(0), tl.sum(loss, axis=0))


@triton.jit
def gradient_kernel(
    logits, weight, factor, gradient, count, size1, size2, stride0, stride1, stride2, alpha, gamma,
    WEIGHTED: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Write ``factor`` times the derivative of each logit's loss."""
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = i < count
    x = tl.load(logits + i, mask=mask, other=0.0)
    p, modulation, softplus = _terms(x, gamma)
    slope = (1.0 - alpha) * modulation * (gamma * (1.0 - p) * softplus + p) * tl.load(factor)
    if WEIGHTED:
        slope *= _weights(weight, i, mask, size1, size2, stride0, stride1, stride2)
    tl.store(gradient + i, slope, mask=mask)


class FusedNegativeFocalLoss(torch.autograd.Function):
    """Sum over all elements of the focal loss with target 0, see ``negative_focal_loss``."""

    @staticmethod
    def forward(ctx, logits: Tensor, weight: Tensor | None, alpha: float, gamma: float) -> Tensor:
        logits = dense(logits)
        ctx.save_for_backward(logits, weight)
        ctx.settings = alpha, gamma
        sums = logits.new_empty(_programs(logits))
        sum_kernel[(len(sums),)](*_walk(logits, weight, sums), alpha, gamma, **_static(weight))
        return sums.sum()

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):
        logits, weight = ctx.saved_tensors
        gradient = torch.empty_like(logits)
        arguments = _walk(logits, weight, grad.contiguous(), gradient)
        gradient_kernel[(_programs(logits),)](*arguments, *ctx.settings, **_static(weight))
        return gradient, None, None, None


def dense(logits: Tensor) -> Tensor:
    """The same values without gaps in memory, in whatever order the dimensions are."""
    ordered = logits.permute(_memory_order(logits))
    return logits if ordered.is_contiguous() else logits.contiguous()


def _memory_order(logits: Tensor) -> list[int]:
    """The dimensions from the outermost in memory to the innermost."""
    return sorted(range(logits.dim()), key=lambda dim: -logits.stride(dim))


def _programs(logits: Tensor) -> int:
    return triton.cdiv(logits.numel(), BLOCK)


def _walk(logits: Tensor, weight: Tensor | None, *others: Tensor) -> tuple:
    """What both kernels begin with: tensors, and how indices of logits find their weights."""
    order = _memory_order(logits)
    _, size1, size2 = (logits.shape[dim] for dim in order)
    if weight is None:
        return logits, logits, *others, logits.numel(), size1, size2, 0, 0, 0
    strides = weight.expand_as(logits).permute(order).stride()
    return logits, weight, *others, logits.numel(), size1, size2, *strides


def _static(weight: Tensor | None) -> dict:
    return {"WEIGHTED": weight is not None, "BLOCK": BLOCK}
