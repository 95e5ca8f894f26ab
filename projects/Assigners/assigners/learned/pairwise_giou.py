"""The generalised IoU of every pair, with a derivative that is cheap."""

from __future__ import annotations

from typing import NamedTuple

import torch
from onenet.geometry import MIN_AREA
from torch import Tensor
from torch.autograd.function import once_differentiable


def pairwise_iou_giou(boxes: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """As :func:`onenet.geometry.elementwise_iou_giou` for every pair of an image.

    Autograd would write a mask for each minimum, maximum and clamp, and a CPU takes twenty times
    as long for masks as for the arithmetic.

    Args:
        boxes: (B, R, 4) float32, with a gradient.
        others: (B, G, 4) float32, x2 >= x1 and y2 >= y1; constant.

    Returns:
        IoU (constant) and GIoU, each (B, G, R).
    """
    return _PairwiseGIoU.apply(boxes, others)


class _PairwiseGIoU(torch.autograd.Function):
    @staticmethod
    def forward(ctx, boxes: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(boxes, others)
        _, _, inner, union, hull = _areas(boxes, others)
        iou = inner.div_(union.clamp(min=MIN_AREA))
        ctx.mark_non_differentiable(iou)
        return iou, iou - (hull - union).div_(hull.clamp_(min=MIN_AREA))

    @staticmethod
    @once_differentiable
    def backward(ctx, _, grad: Tensor) -> tuple[Tensor, None]:
        boxes, others = ctx.saved_tensors
        overlaps, hull_sides, inner, union, hull = _areas(boxes, others)
        per_union, least = union.clamp(min=MIN_AREA).reciprocal_(), hull.clamp(min=MIN_AREA)
        per_hull = hull.div_(least).div_(least)  # 0 for a hull without area
        by_union = (per_hull - inner.mul_(per_union).mul_(per_union)).mul_(grad)
        by_inner = per_union.mul_(grad).sub_(by_union)  # the union shrinks as the overlap grows
        by_hull = union.mul_(per_hull).mul_(per_hull).mul_(grad).neg_()
        by_area, size = by_union.sum(dim=1), boxes[..., 2:] - boxes[..., :2]
        by_side = [torch.empty(())] * 4
        for axis, across in ((0, 1), (1, 0)):
            by_hull_side = by_hull * hull_sides[across]
            reaches = (size[..., axis] > 0) * size[..., across].clamp(min=0)
            by_size = by_hull_side.sum(dim=1) + by_area * reaches
            by_overlap = overlaps[across].clamp(min=0).mul_(by_inner)
            by_overlap.mul_(overlaps[axis].clone().gt_(0)).sub_(by_hull_side)
            low, high = _parts(by_overlap, boxes, others, axis)
            by_side[axis], by_side[axis + 2] = -low - by_size, high + by_size
        return torch.stack(by_side, dim=1).mT, None


class _Areas(NamedTuple):
    """Of pairs, each (B, G, R): sides along x and y, and areas.

    Attributes:
        overlaps: how far two boxes overlap, negative where they do not.
        hull_sides: of the smallest box around both.
        inner, union, hull: areas of the intersection, of both together, of the box around both.
    """

    overlaps: tuple[Tensor, Tensor]
    hull_sides: tuple[Tensor, Tensor]
    inner: Tensor
    union: Tensor
    hull: Tensor


def _areas(boxes: Tensor, others: Tensor) -> _Areas:
    x1, y1, x2, y2 = (side[:, None] for side in boxes.unbind(-1))
    ox1, oy1, ox2, oy2 = (side[..., None] for side in others.unbind(-1))
    width = torch.minimum(x2, ox2).sub_(torch.maximum(x1, ox1))
    height = torch.minimum(y2, oy2).sub_(torch.maximum(y1, oy1))
    # The larger of two ends and the smaller one together are both.
    hull_width = (x2 - x1 + (ox2 - ox1)).sub_(width)
    hull_height = (y2 - y1 + (oy2 - oy1)).sub_(height)
    inner = width.clamp(min=0).mul_(height.clamp(min=0))
    area, other_area = (x2 - x1).clamp(min=0) * (y2 - y1).clamp(min=0), (ox2 - ox1) * (oy2 - oy1)
    union = (area + other_area).sub_(inner)
    hull = hull_width * hull_height
    return _Areas((width, height), (hull_width, hull_height), inner, union, hull)


def _parts(by_overlap: Tensor, boxes: Tensor, others: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """What the low and the high end of a box take of the derivative by its overlaps.

    All where the overlap ends there, nothing where it ends at the other box, half where both do.
    """
    total, ends = by_overlap.sum(dim=1), []
    for side, sign in ((axis, 1), (axis + 2, -1)):
        beyond = (boxes[..., side][:, None] - others[..., side, None]).sign_()
        ends.append((total + beyond.mul_(by_overlap).sum(dim=1) * sign) / 2)
    return ends[0], ends[1]
