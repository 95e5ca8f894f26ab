"""Losses in which every size of gradient counts alike."""

from __future__ import annotations

import torch
from detectron2.config import CfgNode, configurable
from torch import Tensor, nn

from ..assignment.soft_targets import dense_targets
from ..errors import ConfigError
from ..structures import Assignment, GroundTruth, Predictions, Priors
from .base import Loss
from .box_losses import paired_boxes, paired_priors
from .class_loss import binary_cross_entropy
from .normalizer import mean_of_all
from .side_losses import offset_difference


class GradientHarmonizer(nn.Module):
    """Weights of examples that add up to the same in every range of the gradient's norm.

    The norms, in [0, 1], fall into bins of equal width. An example counts as the inverse of the
    number of examples in its bin, a moving average over the steps in which there were any. Source:
    Li et al., "Gradient Harmonized Single-stage Detector", AAAI 2019.

    The batch is that of all processes. Deviation: in the reference the average starts at 0, so that
    the losses of the first steps are too large, of the very first ``1 / (1 - momentum)`` times.
    Here it is divided by what the average of ones would be.

    Attributes:
        gradient_counts: (2, bins), the moving averages of the counts and of ones.
    """

    gradient_counts: Tensor

    def __init__(self, bins: int, momentum: float):
        """
        Args:
            bins: how many.
            momentum: of the moving average; 0 = the counts of the step.
        """
        super().__init__()
        self.momentum = momentum
        self.register_buffer("edges", torch.arange(1.0, bins) / bins, persistent=False)
        self.register_buffer("gradient_counts", torch.zeros(2, bins))

    @torch.no_grad()
    def forward(self, norm: Tensor, valid: Tensor) -> Tensor:
        """The weight of each example; with them, a sum is the mean over the bins of their means.

        Args:
            norm: float32 in [0, 1], of any shape.
            valid: of the same shape, bool; the other examples count nowhere and get weight 0.
        """
        bin_of = torch.bucketize(norm, self.edges, right=True)
        counts = torch.zeros_like(self.gradient_counts[0])
        counts = counts.scatter_add(0, bin_of.flatten(), valid.flatten().to(counts.dtype))
        counts = mean_of_all(counts)
        seen = counts > 0
        now = torch.stack([counts, torch.ones_like(counts)])
        average = self.momentum * self.gradient_counts + (1 - self.momentum) * now
        self.gradient_counts.copy_(torch.where(seen, average, self.gradient_counts))
        number, ones = self.gradient_counts
        weight = torch.where(seen, ones / number, 0) / seen.sum().clamp(min=1)
        return weight[bin_of] * valid


class GHMClassLoss(Loss):
    """``loss_ce``: cross-entropy, harmonised over all (sample, class); GHM-C.

    Neither what is easy and plenty nor the few outliers decide. It is the mean over the ranges of
    the gradient's norm, so that nothing else divides it. Source: as :class:`GradientHarmonizer`.
    """

    @configurable
    def __init__(self, *, weight: float = 2.0, bins: int = 30, momentum: float = 0.75):
        """
        Args:
            weight: factor of the loss.
            bins, momentum: see :class:`GradientHarmonizer`.
        """
        super().__init__()
        self.weight = weight
        self.harmonizer = GradientHarmonizer(bins, momentum)

    @classmethod
    def from_config(cls, cfg):
        _check_whole_batches("CLASS_LOSS", cfg)
        return {"weight": cfg.MODEL.OneNet.CLASS_WEIGHT}

    def forward(
        self,
        priors: Priors,
        predictions: Predictions,
        assignment: Assignment,
        gt: GroundTruth,
        normalizer: Tensor,
    ) -> dict[str, Tensor]:
        logits = predictions.logits.float()
        targets = dense_targets(assignment, gt, logits)
        weight = torch.ones_like(logits)
        if assignment.cls_weight is not None:
            weight = assignment.cls_weight.expand_as(logits)
        norm = (logits.detach().sigmoid() - targets).abs()
        harmony = self.harmonizer(norm, weight > 0) * weight
        loss = (binary_cross_entropy(logits, targets) * harmony).sum()
        return {"loss_ce": loss * self.weight}


class GHMBoxLoss(Loss):
    """``loss_bbox``: a smooth L1 of the offsets from the prior box, harmonised; GHM-R.

    The loss of a difference d is ``sqrt(d^2 + mu^2) - mu``. It is the mean over the ranges of the
    gradient's norm, so that nothing else divides it. Source: as :class:`GradientHarmonizer`.
    """

    @configurable
    def __init__(
        self, *, weight: float = 5.0, mu: float = 0.02, bins: int = 10, momentum: float = 0.7
    ):
        """
        Args:
            weight: factor of the loss.
            mu: difference from which on the loss is about linear.
            bins, momentum: see :class:`GradientHarmonizer`.
        """
        super().__init__()
        self.weight = weight
        self.mu = mu
        self.harmonizer = GradientHarmonizer(bins, momentum)

    @classmethod
    def from_config(cls, cfg):
        _check_whole_batches("BOX_LOSS", cfg)
        return {"weight": cfg.MODEL.OneNet.L1_WEIGHT}

    def forward(
        self,
        priors: Priors,
        predictions: Predictions,
        assignment: Assignment,
        gt: GroundTruth,
        normalizer: Tensor,
    ) -> dict[str, Tensor]:
        boxes, targets = paired_boxes(predictions, assignment, gt)
        difference = offset_difference(boxes, targets, paired_priors(priors, assignment))
        return {"loss_bbox": self.harmonized(difference, assignment.weight[..., None])}

    def harmonized(self, difference: Tensor, weight: Tensor) -> Tensor:
        """The loss () of differences (..., 4); those of weight 0 (..., 1) or (..., 4) count not."""
        weight = weight.expand_as(difference)
        length = (difference.square() + self.mu**2).sqrt()
        norm = (difference / length).detach().abs()
        loss = (length - self.mu) * self.harmonizer(norm, weight > 0) * weight
        return loss.sum() * self.weight


def _check_whole_batches(key: str, cfg: CfgNode) -> None:
    if cfg.SOLVER.ACCUMULATE > 1:
        raise ConfigError(
            f"MODEL.OneNet.{key} {cfg.MODEL.OneNet[key]} counts gradients over the whole batch, "
            f"which SOLVER.ACCUMULATE {cfg.SOLVER.ACCUMULATE} cuts into parts: use "
            "SOLVER.ACCUMULATE 1 or another loss."
        )
