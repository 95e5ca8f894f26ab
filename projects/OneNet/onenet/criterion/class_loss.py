"""What the losses of the class logits have in common."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from detectron2.config import configurable
from torch import Tensor

from ..structures import Assignment, GroundTruth, Predictions, Priors
from .base import Loss


class ClassLoss(Loss):
    """``loss_ce``, summed over all samples and classes.

    The target of a (sample, class) is the largest ``score`` of its pairs, 0 where it has none;
    ``cls_weight`` scales each element.

    A dense detector has few pairs. So the loss is that of negatives everywhere and a correction at
    the pairs, and there is never a tensor of targets. Subclasses say what an element costs.
    """

    @configurable
    def __init__(self, *, weight: float = 2.0):
        """
        Args:
            weight: factor of the loss.
        """
        super().__init__()
        self.weight = weight

    @classmethod
    def from_config(cls, cfg):
        return {"weight": cfg.MODEL.OneNet.CLASS_WEIGHT}

    def positive(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The loss of each element that has a pair, of any shape.

        Args:
            logits: float32.
            targets: of the same shape, in [0, 1], without a gradient.
        """
        raise NotImplementedError

    def negative(self, logits: Tensor) -> Tensor:
        """The loss of each element that has none, of the shape of ``logits``, float32."""
        raise NotImplementedError

    def all_negative(self, logits: Tensor, weight: Tensor | None) -> Tensor:
        """The loss if no element had a pair, ().

        Args:
            logits: (B, R, K) float32.
            weight: broadcastable to ``logits``; None = 1.
        """
        loss = self.negative(logits)
        return (loss if weight is None else loss * weight).sum()

    def forward(
        self,
        priors: Priors,
        predictions: Predictions,
        assignment: Assignment,
        gt: GroundTruth,
        normalizer: Tensor,
    ) -> dict[str, Tensor]:
        logits = predictions.logits.float()
        weight = assignment.cls_weight
        background = self.all_negative(logits, weight)

        labels = gt.labels.gather(1, assignment.gt)
        chosen = highest_of_each_target(assignment, labels, logits.shape[-1])
        image = torch.arange(len(labels), device=labels.device)[:, None]
        index = (image, assignment.sample, labels)
        pairs = logits[index]
        correction = self.positive(pairs, assignment.score) - self.negative(pairs)
        if weight is not None:
            correction = correction * weight.expand_as(logits)[index]
        loss = background + correction.masked_fill(~chosen, 0).sum()
        return {"loss_ce": loss * (self.weight / normalizer)}


def highest_of_each_target(assignment: Assignment, labels: Tensor, num_classes: int) -> Tensor:
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


def binary_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy of each element."""
    return F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
