"""Prediction-aware one-to-one assignment."""

from __future__ import annotations

import torch
from detectron2.config import configurable
from onenet import ASSIGNER_REGISTRY, Assigner, Assignment, GroundTruth, Predictions, Priors
from onenet.assignment import Condition, Explanation
from onenet.assignment.explanation import one_sample_each, ranks
from onenet.assignment.hungarian import solve_hungarian
from onenet.assignment.pieces import check_max_pairs, of_all_pairs, pieces
from onenet.assignment.regions import prefer_center_region
from onenet.assignment.selection import SmallestSoFar
from onenet.errors import ConfigError, choose
from torch import Tensor

from ..conflicts import contest, highest_taker
from ..settings import rule_settings
from .quality import quality_terms, score_and_overlap

SOLVERS = ("hungarian", "argmax")


@ASSIGNER_REGISTRY.register()
class POTO(Assigner):
    """Prediction-aware one-to-one: the sample near the centre of the best score and overlap.

    1. The quality of a pair is ``score^(1 - alpha) * IoU^alpha`` where the point of the sample lies
       strictly inside the ground truth and less than ``radius`` strides from its centre. Elsewhere
       it is negative, the more the farther the point is from the centre.
    2. ``hungarian``: each ground truth takes a sample of its own, at the highest total.
       ``argmax``: each takes its best one; of those that want the same, the better one has it (of
       equal ones the first), the others have none.

    Source: DeFCN (Wang et al., CVPR 2021), section 3; DATE has the same rule. In
    their 3D max filtering and centerness the score is the product with that of the quality branch.

    Deviation: in the reference all samples outside of the region are equal, so that a ground truth
    without a point in its region takes an arbitrary one with ``hungarian``, and none with
    ``argmax``. Here it takes the one nearest to its centre.
    """

    @configurable
    def __init__(
        self,
        *,
        alpha: float = 0.8,
        radius: float = 1.5,
        solver: str = "hungarian",
        max_pairs: int = 0,
    ):
        """
        Args:
            alpha: exponent of the IoU, in [0, 1]; that of the score is 1 - alpha.
            radius: in strides of the level.
            solver: "hungarian" or "argmax".
            max_pairs: at most this many (sample, ground truth) pairs are in memory at once. The
                result does not depend on it; 0 = by device.

        Raises:
            ConfigError: a value out of its range.
        """
        super().__init__()
        check_quality("POTO", alpha, radius)
        self.alpha = alpha
        self.radius = radius
        self.solver = choose("MODEL.OneNet.ASSIGNER.POTO.SOLVER", solver, SOLVERS)
        self.max_pairs = check_max_pairs(max_pairs)

    @classmethod
    def from_config(cls, cfg):
        return rule_settings(cfg, "POTO")

    @torch.no_grad()
    def forward(self, priors: Priors, predictions: Predictions, gt: GroundTruth) -> Assignment:
        sample, matched = self._match(priors, predictions, gt)
        return Assignment(
            sample=sample,
            gt=torch.arange(sample.shape[1], device=sample.device).expand_as(sample),
            weight=matched.float(),
            score=torch.ones_like(sample, dtype=torch.float32),
            num_samples=len(priors),
        )

    @torch.no_grad()
    def explain(self, priors: Priors, predictions: Predictions, gt: GroundTruth) -> Explanation:
        cost = of_all_pairs(self._costs, priors, predictions, gt, self.max_pairs)
        quantities = {
            **quality_terms(priors, predictions, gt, self.alpha),
            "rank": ranks(cost),
        }
        if self.solver == "argmax":
            best = (quantities["rank"] == 0) & gt.valid[..., None]
            lead = cost.amin(dim=-1, keepdim=True) - cost
            conditions = [
                Condition("the best sample of the object", best, lead),
                contest("the object of the highest quality that takes it", -cost, best),
            ]
        else:
            sample, matched = self._match(priors, predictions, gt)
            chosen = one_sample_each(sample, matched, len(priors))
            conditions = [Condition("its sample where all pairs together are best", chosen)]
        return Explanation.of(gt, len(priors), quantities, conditions)

    def _match(
        self, priors: Priors, predictions: Predictions, gt: GroundTruth
    ) -> tuple[Tensor, Tensor]:
        """Step 2: (B, G) int64 the sample of each ground truth, and whether it has it."""
        slots = torch.arange(gt.labels.shape[1], device=gt.labels.device)
        best = SmallestSoFar(len(slots) if self.solver == "hungarian" else 1)
        for start, *part in pieces(priors, predictions, gt, self.max_pairs):
            best.add(self._costs(*part, gt), start)
        cost, sample = best.result()
        if self.solver == "hungarian":
            return solve_hungarian(cost, sample, gt.valid)
        owner = highest_taker(sample, -cost, gt.valid[..., None], len(priors))
        sample = sample[..., 0]
        return sample, owner.gather(1, sample) == slots

    def _costs(self, priors: Priors, predictions: Predictions, gt: GroundTruth) -> Tensor:
        """Step 1: (B, G, r), the negative quality in the region, between 1 and 2 outside."""
        quality = score_and_overlap(predictions, gt, self.alpha)
        return prefer_center_region(quality.neg_(), priors, gt.boxes, self.radius, worst=1.0)


def check_quality(name: str, alpha: float, radius: float) -> None:
    """Refuse what is no exponent or no radius; ``name`` is the node of the keys.

    Raises:
        ConfigError: a value out of its range.
    """
    if not 0 <= alpha <= 1:
        raise ConfigError(f"MODEL.OneNet.ASSIGNER.{name}.ALPHA must be in [0, 1], got {alpha}.")
    if radius <= 0:
        raise ConfigError(f"MODEL.OneNet.ASSIGNER.{name}.RADIUS must be positive, got {radius}.")
