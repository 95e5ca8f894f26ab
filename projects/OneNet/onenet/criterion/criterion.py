"""From predictions and ground truths to the losses of a training step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from detectron2.config import configurable
from torch import Tensor, nn

from ..assignment import Assigner, Explanation, Subsampler, build_assigner
from ..structures import IGNORED, Assignment, GroundTruth, Predictions, Priors
from .base import Loss
from .losses import build_losses
from .normalizer import Normalizer
from .subsamplers import build_subsamplers

Observer = Callable[[Priors, Predictions, GroundTruth, Assignment], None]


class Criterion(nn.Module):
    """What a branch of predictions is trained with: an assigner, subsamplers and losses.

    Under AMP the network may be in half precision; costs and losses never are.

    Attributes:
        progress: of training, from 0 to 1; whoever trains sets it.
        observers: called with the (detached) arguments and the result of each assignment that is
            trained with, before its losses.
    """

    @configurable
    def __init__(
        self,
        *,
        assigner: Assigner,
        losses: Iterable[Loss],
        subsamplers: Iterable[nn.Module] = (),
        normalizer: Normalizer | None = None,
        weight: Sequence[float] = (1.0, 1.0),
    ):
        """
        Args:
            assigner: decides which samples are positive for which ground truths.
            losses: their names must differ.
            subsamplers: what takes samples out of its assignment, or changes class targets, one
                after the other; called as a :class:`Subsampler` is.
            normalizer: shared with other criteria; None = one of its own.
            weight: factor of all losses at the beginning and at the end of training.
        """
        super().__init__()
        self.assigner = assigner
        self.subsamplers = nn.ModuleList(subsamplers)
        self.losses = nn.ModuleList(losses)
        self.normalizer = normalizer or Normalizer()
        self.weight = tuple(weight)
        self.progress = 0.0
        self.observers: list[Observer] = []

    @classmethod
    def from_config(
        cls, cfg, normalizer: Normalizer | None = None, weight: Sequence[float] = (1.0, 1.0)
    ):
        assigner = build_assigner(cfg)
        return {
            "assigner": assigner,
            "subsamplers": build_subsamplers(cfg),
            "losses": build_losses(cfg, assigner.quality_target),
            "normalizer": normalizer,
            "weight": weight,
        }

    @torch.no_grad()
    def assign(self, priors: Priors, predictions: Predictions, gt: GroundTruth) -> Assignment:
        """What the predictions would be trained towards.

        Args:
            priors: the R samples.
            predictions: of the same samples, in any precision.
            gt: G padded ground truths for each of B images.
        """
        predictions = predictions.detach().float()
        with without_autocast(predictions.logits.device):
            return self.subsample(self.assigner(priors, predictions, gt), priors, predictions, gt)

    @torch.no_grad()
    def explain(self, priors: Priors, predictions: Predictions, gt: GroundTruth) -> Explanation:
        """Why :meth:`assign` gives what it does, with the same state of the random generator.

        Args:
            priors, predictions, gt: as for :meth:`assign`.
        """
        predictions = predictions.detach().float()
        with without_autocast(predictions.logits.device):
            explanation = self.assigner.explain(priors, predictions, gt)
            assignment = self.assigner(priors, predictions, gt)
            for subsampler in self.subsamplers:
                before = assignment.dense_gt()
                assignment = subsampler(assignment, priors, predictions, gt)
                if isinstance(subsampler, Subsampler):
                    kept = (assignment.dense_gt() != IGNORED) | (before == IGNORED)
                    if not kept.all():  # or it had nothing to say
                        explanation = explanation.kept(subsampler.reason, kept)
        return explanation

    @torch.no_grad()
    def subsample(
        self, assignment: Assignment, priors: Priors, predictions: Predictions, gt: GroundTruth
    ) -> Assignment:
        """What the subsamplers make of an assignment, one after the other."""
        for subsampler in self.subsamplers:
            assignment = subsampler(assignment, priors, predictions, gt)
        return assignment

    def forward(
        self,
        priors: Priors,
        predictions: Predictions,
        gt: GroundTruth,
        features: Sequence[Tensor] = (),
    ) -> dict[str, Tensor]:
        """Weighted losses by name, each () float32.

        Args:
            priors, predictions, gt: as for :meth:`assign`; the gradient goes to ``predictions``.
            features: (B, C, H, W) that the head has seen, finest first; for rules that learn from
                them.
        """
        assignment = self.assign(priors, predictions, gt)
        self.tell(priors, predictions, gt, assignment)
        return self.weigh(priors, predictions, gt, assignment)

    def tell(
        self, priors: Priors, predictions: Predictions, gt: GroundTruth, assignment: Assignment
    ) -> None:
        """Call the observers."""
        for observe in self.observers:
            observe(priors, predictions.detach(), gt, assignment)

    def weigh(
        self, priors: Priors, predictions: Predictions, gt: GroundTruth, assignment: Assignment
    ) -> dict[str, Tensor]:
        """The losses of predictions with a given assignment."""
        predictions = predictions.float()
        losses: dict[str, Tensor] = {}
        with without_autocast(predictions.logits.device):
            normalizer = self.normalizer(assignment, gt)
            for loss in self.losses:
                losses.update(loss(priors, predictions, assignment, gt, normalizer))
        return self._weighted(losses)

    def _weighted(self, losses: dict[str, Tensor]) -> dict[str, Tensor]:
        first, last = self.weight
        if first == last == 1:
            return losses
        weight = first + (last - first) * self.progress
        return {name: weight * loss for name, loss in losses.items()}


def without_autocast(device: torch.device) -> AbstractContextManager[None]:
    """Within, operations have the precision of what they are given."""
    if torch.amp.is_autocast_available(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()
