"""Assignment by the largest overlap with a prior box."""

from __future__ import annotations

import torch
from detectron2.config import configurable
from onenet import ASSIGNER_REGISTRY, Assigner, Assignment, GroundTruth, Predictions, Priors
from onenet.assignment import Condition, Explanation
from onenet.assignment.explanation import one_sample_each
from onenet.assignment.overlaps import PairwiseIoU
from onenet.assignment.pieces import check_max_pairs
from onenet.errors import ConfigError
from torch import Tensor

from ..conflicts import ahead, is_owner
from ..dense import dense_assignment
from ..settings import rule_settings

OPTIONS = ("pos_iou", "neg_iou", "low_quality", "min_pos_iou", "all_ties")
# The settings of the methods that the rule is known from.
PRESETS = {
    name: dict(zip(OPTIONS, values, strict=True))
    for name, values in {
        "retinanet": (0.5, 0.4, True, 0.0, True),
        "ssd": (0.5, 0.5, True, 0.0, False),
        "rpn": (0.7, 0.3, True, 0.3, True),
        "rcnn": (0.5, 0.5, False, 0.5, True),
    }.items()
}
# No IoU is that large: what a ground truth wants that takes nothing.
UNREACHABLE = 2.0


@ASSIGNER_REGISTRY.register()
class MaxIoU(Assigner):
    """A sample belongs to the ground truth that its prior box overlaps most, if it does so enough.

    1. The best ground truth of a sample is the one with the highest IoU with its prior box; of
       equal ones, the one with the lowest index.
    2. At ``pos_iou`` or more the sample is positive, below ``neg_iou`` negative, else ignored.
    3. Low-quality step: ground truths in order, each takes the sample it overlaps most (with
       ``all_ties`` every equally good one, else the one with the lowest index) if their IoU is at
       least ``min_pos_iou``; also from an earlier ground truth, and also from a better match.

    Source: Faster R-CNN (Ren et al., NeurIPS 2015), section 3.1.2, SSD (Liu et al., ECCV 2016) and
    RetinaNet (Lin et al., ICCV 2017); order and ties are those of mmdetection's
    ``MaxIoUAssigner``. :data:`PRESETS` has the thresholds of each.

    A ground truth that overlaps no prior box at all has its best IoU, 0, everywhere: with a
    ``min_pos_iou`` of 0 it takes every sample that overlaps nothing, as in the reference.

    On the single-level head all prior boxes have one size (``PRIOR_SCALE`` 8 at stride 4: 32
    pixels), so that only ground truths of about that size reach ``pos_iou``; the others live by
    the low-quality step. A much larger one contains many prior boxes, each with the same IoU, and
    with ``all_ties`` takes them all. A preset without that step would leave them out; it is
    refused there.
    """

    section = "MAX_IOU"

    @configurable
    def __init__(
        self,
        *,
        pos_iou: float = 0.5,
        neg_iou: float = 0.4,
        low_quality: bool = True,
        min_pos_iou: float = 0.0,
        all_ties: bool = True,
        max_pairs: int = 0,
    ):
        """Choose the thresholds.

        Args:
            pos_iou: smallest IoU of a positive in step 2.
            neg_iou: IoU below which a sample is negative.
            low_quality: do step 3.
            min_pos_iou: its threshold.
            all_ties: take every best sample in step 3.
            max_pairs: at most this many (sample, ground truth) pairs are in memory at once, or one
                sample's if that is more. The result does not depend on it;
                0 = by device.

        Raises:
            ConfigError: a threshold out of range, or ``neg_iou`` above ``pos_iou``.
        """
        super().__init__()
        if not 0 < neg_iou <= pos_iou <= 1:
            raise ConfigError(
                f"MODEL.OneNet.ASSIGNER.{self.section} needs 0 < NEG_IOU <= POS_IOU <= 1, "
                f"got NEG_IOU {neg_iou} and POS_IOU {pos_iou}."
            )
        if not 0 <= min_pos_iou <= 1:
            raise ConfigError(
                f"MODEL.OneNet.ASSIGNER.{self.section}.MIN_POS_IOU must be in [0, 1], "
                f"got {min_pos_iou}."
            )
        self.pos_iou = pos_iou
        self.neg_iou = neg_iou
        self.low_quality = low_quality
        self.min_pos_iou = min_pos_iou
        self.all_ties = all_ties
        self.max_pairs = check_max_pairs(max_pairs)

    @classmethod
    def from_config(cls, cfg):
        settings = rule_settings(cfg, "MAX_IOU", PRESETS)
        if cfg.MODEL.OneNet.HEAD == "CenterNet" and not settings["low_quality"]:
            raise ConfigError(
                "MaxIoU without its low-quality step needs prior boxes of many sizes, the "
                '"CenterNet" head has one: set MODEL.OneNet.ASSIGNER.MAX_IOU.PRESET retinanet or '
                "MODEL.OneNet.HEAD RetinaNet."
            )
        return settings

    @torch.no_grad()
    def forward(self, priors: Priors, predictions: Predictions, gt: GroundTruth) -> Assignment:
        overlaps = self.overlaps(priors, gt)
        batch, slots = gt.valid.shape
        best = priors.boxes.new_empty(batch, len(priors))
        index, taker = torch.empty_like(best), torch.zeros_like(best)
        number = torch.arange(1, slots + 1, dtype=best.dtype, device=best.device)[:, None]
        if self.low_quality:
            wanted, sample = self._best_samples(overlaps, gt.valid)
        for part, iou, scratch in overlaps:
            best[:, part] = iou.amax(dim=1)
            # Of equal ground truths the first: the one with the highest number from behind.
            hits = torch.eq(iou, best[:, None, part], out=scratch)
            index[:, part] = slots - hits.mul_(number.flip(0)).amax(dim=1)
            if self.low_quality and self.all_ties:
                hits = torch.eq(iou, wanted[..., None], out=scratch)
                taker[:, part] = hits.mul_(number).amax(dim=1)
        if self.low_quality and not self.all_ties:
            order = number[:, 0] * (wanted < UNREACHABLE)
            taker.scatter_reduce_(1, sample, order, "amax")
        taken = taker > 0
        positive = taken | (best >= self.pos_iou)
        ignored = (best >= self.neg_iou) & ~positive
        return dense_assignment(torch.where(taken, taker - 1, index).long(), positive, ignored)

    @torch.no_grad()
    def explain(self, priors: Priors, predictions: Predictions, gt: GroundTruth) -> Explanation:
        iou = torch.cat([piece.clone() for _, piece, _ in self.overlaps(priors, gt)], dim=-1)
        takes = self._takes(priors, gt, iou)
        number = torch.arange(1, iou.shape[1] + 1, device=iou.device)[:, None]
        taker = (takes * number).amax(dim=1)
        owner = torch.where(taker > 0, taker - 1, iou.argmax(dim=1))
        name = f"IoU of at least {self.pos_iou:g}"
        other = ", or a best sample of the object" if self.low_quality else ""
        last = ", or the last to take it as a best one" if self.low_quality else ""
        conditions = [
            Condition(name + other, (iou >= self.pos_iou) | takes, iou - self.pos_iou),
            Condition(
                "the object that it overlaps most" + last,
                is_owner(owner, iou.shape[1]),
                ahead(iou, gt.valid[..., None].expand_as(iou)),
                contest=True,
            ),
        ]
        quantities = {"IoU": iou, "largest IoU of the object": iou.amax(dim=-1, keepdim=True)}
        name = f"IoU of at least {self.neg_iou:g} with an object"
        ignored = Condition(name, iou >= self.neg_iou, iou - self.neg_iou)
        return Explanation.of(gt, len(priors), quantities, conditions, [ignored])

    def _takes(self, priors: Priors, gt: GroundTruth, iou: Tensor) -> Tensor:
        """(B, G, R) bool, the samples that step 3 gives to a ground truth."""
        if not self.low_quality:
            return torch.zeros_like(iou, dtype=torch.bool)
        wanted, sample = self._best_samples(self.overlaps(priors, gt), gt.valid)
        if self.all_ties:
            return iou == wanted[..., None]
        return one_sample_each(sample, wanted < UNREACHABLE, len(priors))

    def overlaps(self, priors: Priors, gt: GroundTruth) -> PairwiseIoU:
        """The overlap of each sample with each ground truth, piece by piece."""
        return PairwiseIoU(priors.boxes, gt, self.max_pairs)

    def _best_samples(self, overlaps: PairwiseIoU, valid: Tensor) -> tuple[Tensor, Tensor]:
        """Step 3: what each ground truth wants.

        Returns:
            (B, G) its largest IoU, ``UNREACHABLE`` where that is too small, and (B, G) int64 the
            first sample that has it.
        """
        best = torch.zeros_like(valid, dtype=torch.float32)
        sample = torch.zeros_like(valid, dtype=torch.int64)
        for part, iou, scratch in overlaps:
            largest = iou.amax(dim=-1)
            if not self.all_ties:
                size = iou.shape[-1]
                number = torch.arange(size, 0, -1, dtype=iou.dtype, device=iou.device)
                hits = torch.eq(iou, largest[..., None], out=scratch).mul_(number)
                first = part.start + size - hits.amax(dim=-1).long()
                sample = torch.where(largest > best, first, sample)
            best = torch.maximum(best, largest)
        return best.masked_fill(~valid | (best < self.min_pos_iou), UNREACHABLE), sample
