"""One certain positive a ground truth, and a few uncertain ones."""

from __future__ import annotations

import torch
from detectron2.config import configurable
from onenet import ASSIGNER_REGISTRY, Assigner, Assignment, GroundTruth, Predictions, Priors
from onenet.assignment import Condition, Explanation
from onenet.assignment.explanation import pair_values, ranks
from onenet.assignment.pieces import check_max_pairs, of_all_pairs, pieces
from onenet.assignment.regions import center_region_depth, in_center_region
from onenet.assignment.selection import SmallestSoFar
from onenet.errors import ConfigError
from onenet.geometry import gather_samples
from torch import Tensor

from ..conflicts import contest, highest_taker
from ..settings import rule_settings
from .poto import check_quality
from .quality import detection_scores, quality_terms, score_and_overlap


@ASSIGNER_REGISTRY.register()
class OneToFew(Assigner):
    """One-to-few: the best sample is positive, the next ones are positive in part.

    1. The quality of a pair is POTO's, in the region that :class:`POTO` has.
    2. Each ground truth takes its ``topk`` samples of highest quality above 0; of equal ones those
       of lowest index. A sample that several have taken goes to the one of highest quality; of
       equal ones to the first.
    3. The best of what it has left is an ordinary positive. The class target of the others is their
       score, divided by the largest score of these others, times a factor that falls from ``start``
       to ``end`` as training goes on; it has ``soft_weight`` in the class loss.
    4. All of them have weight 1 in the box losses, and their number divides.

    So the ambiguous neighbours are neither negatives nor as positive as the best, and less and less
    so, until at the end a single one stands out.

    Source: o2f (Li et al., "One-to-Few Label Assignment for End-to-End Dense Detection",
    CVPR 2023), section 3; ``o2f_head.py``. There the factor changes from epoch to epoch, here from
    step to step.

    Attributes:
        progress: how much of the training is done, in [0, 1]; the trainer sets it.
    """

    @configurable
    def __init__(
        self,
        *,
        topk: int = 7,
        alpha: float = 0.8,
        radius: float = 1.5,
        soft_weight: float = 0.4,
        start: float = 0.6,
        end: float = 0.2,
        max_pairs: int = 0,
    ):
        """
        Args:
            topk: most positives of a ground truth.
            alpha: exponent of the IoU, in [0, 1]; that of the score is 1 - alpha.
            radius: in strides of the level.
            soft_weight: of all but the best in the class loss.
            start, end: largest class target of all but the best at the first and the last step.
            max_pairs: at most this many (sample, ground truth) pairs are in memory at once. The
                result does not depend on it; 0 = by device.

        Raises:
            ConfigError: a value out of its range.
        """
        super().__init__()
        check_quality("ONE_TO_FEW", alpha, radius)
        if topk < 1:
            raise ConfigError(
                f"MODEL.OneNet.ASSIGNER.ONE_TO_FEW.TOPK must be positive, got {topk}."
            )
        for name, value in {"SOFT_WEIGHT": soft_weight, "START": start, "END": end}.items():
            if not 0 <= value <= 1:
                raise ConfigError(
                    f"MODEL.OneNet.ASSIGNER.ONE_TO_FEW.{name} must be in [0, 1], got {value}."
                )
        self.topk = topk
        self.alpha = alpha
        self.radius = radius
        self.soft_weight = soft_weight
        self.start = start
        self.end = end
        self.progress = 0.0
        self.max_pairs = check_max_pairs(max_pairs)

    @classmethod
    def from_config(cls, cfg):
        return rule_settings(cfg, "ONE_TO_FEW")

    @torch.no_grad()
    def forward(self, priors: Priors, predictions: Predictions, gt: GroundTruth) -> Assignment:
        sample, taken = self._few(priors, predictions, gt)
        slots = torch.arange(sample.shape[1], device=sample.device)[:, None].expand_as(sample)
        best = taken & (taken.cumsum(dim=-1) == 1)  # in descending order of quality
        score = _scores_at(predictions, sample, gt.labels).masked_fill(~taken | best, 0)
        score = score / score.amax(dim=-1, keepdim=True).clamp(min=torch.finfo(score.dtype).tiny)
        score = score * (self.start + (self.end - self.start) * self.progress)
        weight = taken.float().flatten(1)
        return Assignment(
            sample=sample.flatten(1),
            gt=slots.flatten(1),
            weight=weight,
            score=score.masked_fill(best, 1).flatten(1),
            cls_weight=self._class_weight(predictions.logits, sample, gt.labels, taken & ~best),
            normalizer=weight.sum(),
            num_samples=len(priors),
        )

    def _few(
        self, priors: Priors, predictions: Predictions, gt: GroundTruth
    ) -> tuple[Tensor, Tensor]:
        """Steps 1 and 2: sample (B, G, C) int64, the best first, and whether it is positive."""
        best = SmallestSoFar(self.topk)
        for start, *part in pieces(priors, predictions, gt, self.max_pairs):
            best.add(self._costs(*part, gt), start)
        cost, sample = best.result()
        owner = highest_taker(sample, -cost, cost < 0, len(priors))
        slots = torch.arange(sample.shape[1], device=sample.device)[:, None]
        mine = owner.gather(1, sample.flatten(1)).view_as(sample) == slots
        return sample, mine & (cost < 0)

    def _costs(self, priors: Priors, predictions: Predictions, gt: GroundTruth) -> Tensor:
        """(B, G, r), the negative quality in the region, 0 outside."""
        quality = score_and_overlap(predictions, gt, self.alpha)
        region = in_center_region(priors, gt.boxes, self.radius) & gt.valid[..., None]
        return quality.masked_fill_(~region, 0).neg_()

    @torch.no_grad()
    def explain(self, priors: Priors, predictions: Predictions, gt: GroundTruth) -> Explanation:
        cost = of_all_pairs(self._costs, priors, predictions, gt, self.max_pairs)
        rank = ranks(cost)
        region = in_center_region(priors, gt.boxes, self.radius)
        enough, few = cost < 0, rank < self.topk
        conditions = [
            Condition(
                "inside the centre region",
                region,
                center_region_depth(priors, gt.boxes, self.radius),
                "px",
            ),
            Condition("a quality above 0", enough, -cost),
            Condition(f"one of the {self.topk} best samples", few, self.topk - 1.0 - rank),
            contest("the object of the highest quality that takes it", -cost, enough & few),
        ]
        assignment = self(priors, predictions, gt)
        quantities = {
            **quality_terms(priors, predictions, gt, self.alpha),
            "rank": rank,
            "class target": pair_values(assignment.score, assignment, gt, len(priors)),
        }
        return Explanation.of(gt, len(priors), quantities, conditions)

    def _class_weight(self, logits: Tensor, sample: Tensor, labels: Tensor, soft: Tensor) -> Tensor:
        """(B, R, K), ``soft_weight`` at the class of the pairs (B, G, C) that are ``soft``."""
        batch, num_samples, num_classes = logits.shape
        target = (sample * num_classes + labels[..., None]).flatten(1)
        value = torch.where(soft, self.soft_weight, 1.0).flatten(1)
        weight = value.new_ones(batch, num_samples * num_classes)
        weight = weight.scatter_reduce(1, target, value, "amin")
        return weight.view(batch, num_samples, num_classes)


def _scores_at(predictions: Predictions, sample: Tensor, labels: Tensor) -> Tensor:
    """(B, G, C), detection scores of samples (B, G, C) for the class of their ground truth."""
    scores = gather_samples(detection_scores(predictions), sample.flatten(1))
    labels = labels[..., None].expand_as(sample).flatten(1)
    return scores.gather(2, labels[..., None]).view(sample.shape).nan_to_num_(0)
