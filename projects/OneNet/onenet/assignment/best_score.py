"""The sample that would be matched in evaluation."""

from __future__ import annotations

import torch
from detectron2.config import configurable
from torch import Tensor

from ..geometry import elementwise_iou
from ..structures import Assignment, GroundTruth, Predictions, Priors
from .assigner import ASSIGNER_REGISTRY, Assigner
from .explanation import Condition, Explanation, ranks
from .pieces import check_max_pairs, pieces
from .selection import SmallestSoFar

TAKES_NO_PART = 1.0  # above the negative of any score


@ASSIGNER_REGISTRY.register()
class BestScore(Assigner):
    """Each ground truth takes the sample of the best class score among those that are its own.

    A sample is the ground truth's own whose predicted box overlaps it more than any other (of equal
    ones it is the first's), and by ``iou`` at least. So the sample is the one that evaluation
    counts as the detection of the object, and no two ground truths share one. A ground truth
    without a sample of its own has no positive: at the beginning of a training most of them. The
    rule suits a :class:`~onenet.modeling.heads.selector.Selector`, not a detector from scratch.
    """

    @configurable
    def __init__(self, *, iou: float = 0.5, max_pairs: int = 0):
        """
        Args:
            iou: least overlap of a predicted box and the ground truth, in (0, 1].
            max_pairs: at most this many (sample, ground truth) pairs are in memory at once. The
                result does not depend on it; 0 = by device.

        Raises:
            ConfigError: a negative ``max_pairs``.
        """
        super().__init__()
        self.iou = iou
        self.max_pairs = check_max_pairs(max_pairs)

    @classmethod
    def from_config(cls, cfg):
        return {"max_pairs": cfg.MODEL.OneNet.ASSIGNER.MAX_PAIRS}

    @torch.no_grad()
    def forward(self, priors: Priors, predictions: Predictions, gt: GroundTruth) -> Assignment:
        best = SmallestSoFar(1)
        for start, _, part in pieces(priors, predictions, gt, self.max_pairs):
            best.add(self._costs(part, gt), start)
        cost, sample = (x[..., 0] for x in best.result())
        slots = torch.arange(sample.shape[1], device=sample.device)
        return Assignment(
            sample=sample,
            gt=slots.expand_as(sample),
            weight=(gt.valid & (cost < TAKES_NO_PART)).float(),
            score=torch.ones_like(sample, dtype=torch.float32),
            num_samples=len(priors),
        )

    @torch.no_grad()
    def explain(self, priors: Priors, predictions: Predictions, gt: GroundTruth) -> Explanation:
        parts = pieces(priors, predictions, gt, self.max_pairs)
        found = [self._overlaps_and_scores(part, gt) for _, _, part in parts]
        iou, most, score = (torch.cat(values, dim=-1) for values in zip(*found, strict=True))
        enough = iou >= self.iou
        rank = ranks(torch.where(enough & most, -score, TAKES_NO_PART))
        conditions = [
            Condition(f"IoU of at least {self.iou:g}", enough, iou - self.iou),
            Condition("the object that it overlaps most", most, contest=True),
            Condition("the best score of the object's own samples", rank == 0),
        ]
        quantities = {"IoU": iou, "score": score, "rank of the score": rank}
        return Explanation.of(gt, len(priors), quantities, conditions)

    def _costs(self, predictions: Predictions, gt: GroundTruth) -> Tensor:
        """(B, G, r): the negative score of own samples, ``TAKES_NO_PART`` for others."""
        iou, most, score = self._overlaps_and_scores(predictions, gt)
        return torch.where((iou >= self.iou) & most, -score, TAKES_NO_PART)

    def _overlaps_and_scores(
        self, predictions: Predictions, gt: GroundTruth
    ) -> tuple[Tensor, Tensor, Tensor]:
        """IoU, whether it is the largest one of the sample, and score, each (B, G, r)."""
        iou = elementwise_iou(predictions.boxes.float()[:, None], gt.boxes[:, :, None])
        iou = iou.nan_to_num_(0).masked_fill_(~gt.valid[..., None], -1)
        slots = torch.arange(iou.shape[1], device=iou.device)
        most = iou.argmax(dim=1, keepdim=True) == slots[:, None]
        image = torch.arange(len(iou), device=iou.device)[:, None]
        score = predictions.logits.float().transpose(1, 2)[image, gt.labels].sigmoid()
        return iou, most, score.nan_to_num(0)
