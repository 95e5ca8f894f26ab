"""Assignment by the largest overlap with a prior box."""

from __future__ import annotations

import torch
from detectron2.config import configurable
from onenet import ASSIGNER_REGISTRY, Assigner, Assignment, GroundTruth, Predictions, Priors
from onenet.errors import ConfigError, nearest
from onenet.geometry import MIN_AREA, box_area
from torch import Tensor

from .dense import dense_assignment
from .levels import SINGLE_LEVEL_HEAD

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
# IoU is at most 1: a sample that a ground truth claims ranks above all overlaps.
CLAIMED = 2.0


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

    @configurable
    def __init__(
        self,
        *,
        pos_iou: float = 0.5,
        neg_iou: float = 0.4,
        low_quality: bool = True,
        min_pos_iou: float = 0.0,
        all_ties: bool = True,
        max_pairs: int = 1 << 18,
    ):
        """Choose the thresholds.

        Args:
            pos_iou: smallest IoU of a positive in step 2.
            neg_iou: IoU below which a sample is negative.
            low_quality: do step 3.
            min_pos_iou: its threshold.
            all_ties: take every best sample in step 3.
            max_pairs: at most this many (sample, ground truth) overlaps are in memory at once, or
                one ground truth's of each image if that is more. The result does not depend on it.

        Raises:
            ConfigError: a threshold out of range, or ``neg_iou`` above ``pos_iou``.
        """
        super().__init__()
        if not 0 < neg_iou <= pos_iou <= 1:
            raise ConfigError(
                "MODEL.OneNet.ASSIGNER.MAX_IOU needs 0 < NEG_IOU <= POS_IOU <= 1, "
                f"got NEG_IOU {neg_iou} and POS_IOU {pos_iou}."
            )
        if not 0 <= min_pos_iou <= 1:
            raise ConfigError(
                f"MODEL.OneNet.ASSIGNER.MAX_IOU.MIN_POS_IOU must be in [0, 1], got {min_pos_iou}."
            )
        self.pos_iou = pos_iou
        self.neg_iou = neg_iou
        self.low_quality = low_quality
        self.min_pos_iou = min_pos_iou
        self.all_ties = all_ties
        self.max_pairs = max_pairs

    @classmethod
    def from_config(cls, cfg):
        max_iou = cfg.MODEL.OneNet.ASSIGNER.MAX_IOU
        if max_iou.PRESET not in PRESETS:
            raise ConfigError(
                f'MODEL.OneNet.ASSIGNER.MAX_IOU.PRESET: unknown preset "{max_iou.PRESET}".'
                f"{nearest(max_iou.PRESET, PRESETS)}"
            )
        own = {name: max_iou[name.upper()] for name in OPTIONS}
        own = {name: value for name, value in own.items() if value is not None}
        settings = {**PRESETS[max_iou.PRESET], **own}
        if cfg.MODEL.OneNet.HEAD == SINGLE_LEVEL_HEAD and not settings["low_quality"]:
            raise ConfigError(
                "MaxIoU without its low-quality step needs prior boxes of many sizes, the "
                f'"{SINGLE_LEVEL_HEAD}" head has one: set MODEL.OneNet.ASSIGNER.MAX_IOU.PRESET '
                "retinanet or MODEL.OneNet.HEAD RetinaNet."
            )
        return {**settings, "max_pairs": cfg.MODEL.OneNet.ASSIGNER.MAX_PAIRS}

    @torch.no_grad()
    def forward(self, priors: Priors, predictions: Predictions, gt: GroundTruth) -> Assignment:
        rank, index = self._rank(priors.boxes, gt)
        positive, ignored = rank >= self.pos_iou, rank >= self.neg_iou
        return dense_assignment(index, positive, ignored & ~positive)

    def _rank(self, boxes: Tensor, gt: GroundTruth) -> tuple[Tensor, Tensor]:
        """Steps 1 and 3, for some ground truths of all images at a time.

        Returns:
            (B, R) largest IoU of each sample, or at least ``CLAIMED`` where a ground truth took
            it, and (B, R) int64, the ground truth it belongs to.
        """
        batch, slots = gt.valid.shape
        gt_boxes = gt.boxes.masked_fill(~gt.valid[..., None], 0)  # padding overlaps nothing
        rank = boxes.new_zeros(batch, len(boxes))
        index = torch.zeros_like(rank)
        step = min(slots, max(1, self.max_pairs // rank.numel()))
        overlaps = PairwiseIoU(boxes, batch, step)
        for start in range(0, slots, step):
            piece = slice(start, start + step)
            iou, scratch = overlaps(gt_boxes[:, piece])
            if self.low_quality:
                self._claim(iou, scratch, gt.valid[:, piece], start)
            best = iou.amax(dim=1)
            which = _first_equal(iou, best[:, None], 1, scratch).add_(start)
            better = (best - rank).gt_(0)
            index.add_(which.sub_(index).mul_(better))
            torch.maximum(rank, best, out=rank)
        return rank, index.long()

    def _claim(self, iou: Tensor, scratch: Tensor, valid: Tensor, start: int) -> None:
        """Step 3: replace overlaps by ``CLAIMED`` + index of the ground truth that takes it."""
        best = iou.amax(dim=-1)
        allowed = valid & (best >= self.min_pos_iou)
        claim = torch.arange(start, start + iou.shape[1], device=iou.device) + CLAIMED
        if self.all_ties:
            unreachable = best.masked_fill(~allowed, CLAIMED)
            claims = torch.eq(iou, unreachable[..., None], out=scratch)
            torch.maximum(iou, claims.mul_(claim[:, None]), out=iou)
        else:
            sample = _first_equal(iou, best[..., None], 2, scratch).long()
            iou.scatter_(2, sample[..., None], torch.where(allowed, claim, best)[..., None])


class PairwiseIoU:
    """IoU of ground truths with fixed prior boxes, always in the same memory.

    One contiguous row of samples a ground truth, three rows in flight, and no temporary tensors:
    pieces of a suitable size stay in the cache of a CPU.
    """

    def __init__(self, boxes: Tensor, batch: int, rows: int):
        """Prepare the prior boxes.

        Args:
            boxes: (R, 4), the same for every image.
            batch: B.
            rows: largest number of ground truths of an image at a time.
        """
        self.sides = boxes.t().contiguous()
        self.area = box_area(boxes)
        self.memory = boxes.new_empty(3, batch, rows, len(boxes))

    def __call__(self, gt_boxes: Tensor) -> tuple[Tensor, Tensor]:
        """Overlaps of ground truths (B, g, 4), g <= rows.

        Returns:
            IoU (B, g, R), valid until the next call, and memory of the same shape to use freely.
        """
        overlap, other, scratch = self.memory[:, :, : gt_boxes.shape[1]]
        x1, y1, x2, y2 = self.sides
        gx1, gy1, gx2, gy2 = (side[..., None] for side in gt_boxes.unbind(-1))
        _extent(x1, x2, gx1, gx2, overlap, scratch)
        overlap.mul_(_extent(y1, y2, gy1, gy2, other, scratch))
        # At least one of the two areas is that large, and so is the union.
        gt_area = box_area(gt_boxes).clamp_(min=MIN_AREA)[..., None]
        union = torch.add(self.area, gt_area, out=other).sub_(overlap)
        return overlap.div_(union), scratch


def _extent(
    low: Tensor, high: Tensor, gt_low: Tensor, gt_high: Tensor, out: Tensor, scratch: Tensor
) -> Tensor:
    """Overlap of intervals along one axis, at least 0, written to ``out``."""
    torch.minimum(high, gt_high, out=out)
    return out.sub_(torch.maximum(low, gt_low, out=scratch)).clamp_(min=0)


def _first_equal(values: Tensor, wanted: Tensor, dim: int, scratch: Tensor) -> Tensor:
    """Lowest index along ``dim`` where ``values`` equal ``wanted``, as float32.

    What ``argmax`` finds; but comparisons that stay float, products and maxima are vectorised on a
    CPU, and argmax is not.
    """
    size = values.shape[dim]
    descending = torch.arange(size, 0, -1, dtype=values.dtype, device=values.device)
    descending = descending[:, None] if dim == 1 else descending
    hits = torch.eq(values, wanted, out=scratch).mul_(descending)
    return hits.amax(dim=dim).neg_().add_(size)
