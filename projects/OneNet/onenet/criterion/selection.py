"""What a selector is trained with."""

from __future__ import annotations

from torch import Tensor

from ..assignment import IgnoreRegions, build_assigner
from ..scores import joint_logit
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

    Cross-entropy, of a negative weighted by its best class score: the selection has nothing to say
    where no class has a score. What it compares with the target is the square of the selection
    score, which so becomes the root of a probability. The plain probability, being lowest where the
    class score is low too, would say twice that an object is unsure, and put it behind mistakes.
    """

    def forward(
        self,
        priors: Priors,
        predictions: Predictions,
        assignment: Assignment,
        gt: GroundTruth,
        normalizer: Tensor,
    ) -> dict[str, Tensor]:
        logits = joint_logit(predictions.quality, predictions.quality)
        positive = assignment.positive_samples()
        weight = predictions.logits.amax(dim=-1).sigmoid().masked_fill(positive, 1)
        if assignment.cls_weight is not None:
            weight = weight * assignment.cls_weight.amax(dim=-1)
        loss = (weight.detach() * binary_cross_entropy(logits, positive.float())).sum()
        return {"loss_selection": loss / normalizer}
