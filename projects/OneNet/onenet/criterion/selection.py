"""What a selector is trained with."""

from __future__ import annotations

from torch import Tensor

from ..assignment import IgnoreRegions, build_assigner
from ..structures import Assignment, GroundTruth, Predictions, Priors
from .base import Loss
from .class_loss import binary_cross_entropy
from .criterion import Criterion
from .normalizer import Normalizer


class SelectorCriterion(Criterion):
    """One-to-one training of the selection.

    The assigner sees the class scores as they are, not their products with the selection: which
    sample is positive then does not depend on the selector, and follows from what it sees.
    """

    @classmethod
    def from_config(cls, cfg, normalizer: Normalizer, weight: float):
        return {
            "assigner": build_assigner(cfg),
            "subsamplers": [IgnoreRegions()],
            "losses": [SelectionLoss()],
            "normalizer": normalizer,
            "weight": (weight, weight),
        }

    def assign(self, priors: Priors, predictions: Predictions, gt: GroundTruth) -> Assignment:
        return super().assign(priors, Predictions(predictions.logits, predictions.boxes), gt)


class SelectionLoss(Loss):
    """``loss_selection``: whether a sample is the one that keeps its score.

    Cross-entropy, of a negative weighted by the square of its best class score: the selection has
    little to say where classes hardly score, and nothing where they do not.
    """

    def forward(
        self,
        priors: Priors,
        predictions: Predictions,
        assignment: Assignment,
        gt: GroundTruth,
        normalizer: Tensor,
    ) -> dict[str, Tensor]:
        positive = assignment.positive_samples()
        weight = predictions.logits.amax(dim=-1).sigmoid().square().masked_fill(positive, 1)
        if assignment.cls_weight is not None:
            weight = weight * assignment.cls_weight.amax(dim=-1)
        loss = binary_cross_entropy(predictions.quality, positive.float())
        return {"loss_selection": (weight.detach() * loss).sum() / normalizer}
