"""Criteria of rules that learn which samples to train: the choice itself has a gradient."""

from __future__ import annotations

from collections.abc import Sequence

from detectron2.utils.registry import Registry
from torch import Tensor

from ..assignment import Assigner, IgnoreRegions
from ..structures import GroundTruth, Predictions, Priors
from .criterion import Criterion, without_autocast
from .normalizer import Normalizer

CRITERION_REGISTRY = Registry("CRITERION")
CRITERION_REGISTRY.__doc__ = """
Criteria with losses of their own, selected by ``MODEL.OneNet.ASSIGNER.NAME`` like an assigner. A
registered object is called with the config, ``normalizer`` and ``weight`` (see :class:`Criterion`),
and returns a :class:`Criterion`.
"""


class LearnedCriterion(Criterion):
    """A criterion whose losses do not come from an :class:`Assignment`.

    Every ground truth has a bag of samples, and its loss decides between them by what they predict.
    The assigner tells pictures and statistics what the rule would call positive; training asks it
    only where somebody looks, or where there are ignore regions. A sample's score is the one that
    inference ranks by: sigmoid(class), times sigmoid(quality) where a head has that.
    """

    def __init__(
        self,
        *,
        assigner: Assigner,
        normalizer: Normalizer | None = None,
        weight: Sequence[float] = (1.0, 1.0),
    ):
        """
        Args:
            assigner: gives the positives that are shown.
            normalizer, weight: see :class:`Criterion`.
        """
        super().__init__(
            assigner=assigner,
            losses=(),
            subsamplers=[IgnoreRegions()],
            normalizer=normalizer,
            weight=weight,
        )

    def learn(
        self, priors: Priors, predictions: Predictions, gt: GroundTruth, kept: Tensor | None
    ) -> dict[str, Tensor]:
        """The losses by name, each () float32.

        Args:
            priors: the R samples.
            predictions: of the same samples, float32, with a gradient.
            gt: G padded ground truths for each of B images.
            kept: (B, R) bool, False where a sample must not be trained as a negative; None =
                nowhere.
        """
        raise NotImplementedError

    def forward(
        self,
        priors: Priors,
        predictions: Predictions,
        gt: GroundTruth,
        features: Sequence[Tensor] = (),
    ) -> dict[str, Tensor]:
        kept = None
        if self.observers or gt.ignore_boxes is not None:
            assignment = self.assign(priors, predictions, gt)
            self.tell(priors, predictions, gt, assignment)
            if assignment.cls_weight is not None:
                kept = assignment.cls_weight[..., 0] > 0
        with without_autocast(predictions.logits.device):
            losses = self.learn(priors, predictions.float(), gt, kept)
        return self._weighted(losses)
