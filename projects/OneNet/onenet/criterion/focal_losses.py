"""Class losses whose negatives are those of the focal loss."""

from __future__ import annotations

from importlib.util import find_spec

import torch
import torch.nn.functional as F
from detectron2.config import configurable
from fvcore.nn import sigmoid_focal_loss
from torch import Tensor
from torch.autograd.function import once_differentiable

from .class_loss import ClassLoss, binary_cross_entropy

FUSED = find_spec("triton") is not None  # PyTorch for CUDA brings it, that for other devices not


class _FocalNegatives(ClassLoss):
    """A negative of score p costs ``(1 - alpha) p^gamma`` times its cross-entropy."""

    alpha: float
    gamma: float

    def negative(self, logits: Tensor) -> Tensor:
        return _focal(logits, torch.zeros_like(logits), self.alpha, self.gamma)

    def all_negative(self, logits: Tensor, weight: Tensor | None) -> Tensor:
        return negative_focal_loss(logits, weight, self.alpha, self.gamma)


class FocalLoss(_FocalNegatives):
    """Sigmoid focal loss. Source: Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017.

    It is for hard labels: of targets between 0 and 1 the least loss is not at p = t.
    """

    @configurable
    def __init__(self, *, weight: float = 2.0, alpha: float = 0.25, gamma: float = 2.0):
        """
        Args:
            weight: factor of the loss.
            alpha: factor of positives; that of negatives is 1 - alpha.
            gamma: exponent of 1 - p for positives, of p for negatives.
        """
        super().__init__(weight=weight)
        self.alpha = alpha
        self.gamma = gamma

    @classmethod
    def from_config(cls, cfg):
        onenet = cfg.MODEL.OneNet
        return {**super().from_config(cfg), "alpha": onenet.ALPHA, "gamma": onenet.GAMMA}

    def positive(self, logits: Tensor, targets: Tensor) -> Tensor:
        return _focal(logits, targets, self.alpha, self.gamma)


class QualityFocalLoss(_FocalNegatives):
    """``(t - p)^2`` times the cross-entropy, for targets t of any size.

    Source: Li et al., "Generalized Focal Loss", NeurIPS 2020.
    """

    alpha = 0.0
    gamma = 2.0

    def positive(self, logits: Tensor, targets: Tensor) -> Tensor:
        return (logits.sigmoid() - targets).square() * binary_cross_entropy(logits, targets)


class UnweightedVarifocalLoss(_FocalNegatives):
    """The cross-entropy of positives, ``0.75 p^2`` times that of negatives.

    A pair of target 0 is a negative. Source: Li et al., "One-to-Few Label Assignment for End-to-End
    Dense Detection", CVPR 2023; the rule gives its weights of positives as ``cls_weight``.
    """

    alpha = 0.25
    gamma = 2.0

    def positive(self, logits: Tensor, targets: Tensor) -> Tensor:
        return torch.where(
            targets > 0, binary_cross_entropy(logits, targets), self.negative(logits)
        )


class VarifocalLoss(UnweightedVarifocalLoss):
    """The same with the positives' cross-entropy times their target.

    Source: Zhang et al., "VarifocalNet", CVPR 2021.
    """

    def positive(self, logits: Tensor, targets: Tensor) -> Tensor:
        weight = targets.masked_fill(targets == 0, 1)
        return weight * super().positive(logits, targets)


def _focal(logits: Tensor, targets: Tensor, alpha: float, gamma: float) -> Tensor:
    return sigmoid_focal_loss(logits, targets, alpha=alpha, gamma=gamma, reduction="none")


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
    compiled = torch.compiler.is_compiling()  # then operators become such a kernel by themselves
    fused = FUSED and logits.is_cuda and logits.dtype == torch.float32 and not compiled
    function = _fused() if fused else _NegativeFocalLoss
    return function.apply(logits, weight, alpha, gamma)


def _fused() -> type[torch.autograd.Function]:
    from .focal_kernels import FusedNegativeFocalLoss  # which needs Triton

    return FusedNegativeFocalLoss
