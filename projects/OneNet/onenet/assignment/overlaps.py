"""How much boxes overlap the objects of an image."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ..geometry import MIN_AREA, box_area, elementwise_iou
from ..structures import GroundTruth
from .pieces import piece_size


def largest_iou(boxes: Tensor, gt: GroundTruth, max_pairs: int = 0) -> Tensor:
    """IoU of each box with the ground truth that it overlaps most.

    Args:
        boxes: (B, R, 4), or (1, R, 4) for the same ones in every image.
        gt: G padded ground truths for each of B images.
        max_pairs: bounds the memory, not the result; 0 = by device.

    Returns:
        (B, R) in [0, 1]; 0 in an image without objects, and for a box that is not finite.
    """
    overlaps = PairwiseIoU(boxes, gt, max_pairs)
    return torch.cat([iou.amax(dim=1) for _, iou, _ in overlaps], dim=1).nan_to_num_(0)


def pairwise_iou(boxes: Tensor, gt: GroundTruth) -> Tensor:
    """(B, G, R), IoU of each box with each ground truth; the rest as for :func:`largest_iou`."""
    iou = elementwise_iou(boxes[:, None], gt.boxes[:, :, None])
    return iou.nan_to_num_(0).mul_(gt.valid[..., None])


class PairwiseIoU:
    """IoU of every box with every ground truth, for some samples at a time.

    One contiguous row of samples a ground truth, and the same memory for every piece: a piece of a
    suitable size never leaves the cache of a CPU. For the same reason rules compare in place and
    multiply instead of using masks and ``argmax``, which are not vectorised there.
    """

    values_per_pair = 3  # overlap, union and a temporary one

    def __init__(self, boxes: Tensor, gt: GroundTruth, max_pairs: int):
        """Prepare the boxes.

        Args:
            boxes: (R, 4), or (B, R, 4) where they differ between images.
            gt: G ground truths of B images; invalid ones overlap nothing.
            max_pairs: how many pairs a piece has; 0 = by device.
        """
        boxes = boxes if boxes.dim() == 2 else boxes[:, None]
        self.sides = boxes.movedim(-1, 0).contiguous()
        self.area = box_area(boxes)
        gt_boxes = gt.boxes.masked_fill(~gt.valid[..., None], 0)
        self.gt_sides = [side[..., None] for side in gt_boxes.unbind(-1)]
        # At least one of two areas is that large, and so is the union.
        self.gt_area = box_area(gt_boxes).clamp_(min=MIN_AREA)[..., None]
        self.step = piece_size(max_pairs, gt.valid.numel(), boxes.device)

    def __iter__(self) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """Pieces of the samples.

        Yields:
            Which samples, their IoU (B, G, r), and memory of the same shape to use freely; the
            next piece overwrites both.
        """
        batch, slots, _ = self.gt_area.shape
        num_samples = self.area.shape[-1]
        size = min(self.step, num_samples)
        memory = self.area.new_empty(self.values_per_pair, batch, slots, size)
        for start in range(0, num_samples, self.step):
            part = slice(start, min(start + self.step, num_samples))
            yield part, *self.piece(part, memory[..., : part.stop - start])

    def piece(self, part: slice, memory: Tensor) -> tuple[Tensor, Tensor]:
        """IoU of some samples and free memory, both in ``memory`` (values_per_pair, B, G, r)."""
        overlap, other, scratch = memory
        x1, y1, x2, y2 = self.sides[..., part]
        gx1, gy1, gx2, gy2 = self.gt_sides
        _extent(x1, x2, gx1, gx2, overlap, scratch)
        overlap.mul_(_extent(y1, y2, gy1, gy2, other, scratch))
        union = torch.add(self.area[..., part], self.gt_area, out=other).sub_(overlap)
        return overlap.div_(union), scratch


def _extent(
    low: Tensor, high: Tensor, gt_low: Tensor, gt_high: Tensor, out: Tensor, scratch: Tensor
) -> Tensor:
    """Overlap of intervals along one axis, at least 0, written to ``out``."""
    torch.minimum(high, gt_high, out=out)
    return out.sub_(torch.maximum(low, gt_low, out=scratch)).clamp_(min=0)
