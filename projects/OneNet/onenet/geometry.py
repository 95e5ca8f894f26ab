"""Box and point geometry that assigners, heads and losses share.

Everything here is elementwise or broadcasting tensor code: no synchronisation, float32 out.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

# Areas below this (square pixels) are treated as this, so that 0 / 0 is 0.
MIN_AREA = 1e-7
# The same for a side (pixels) that is divided by, or of which the logarithm is taken.
MIN_SIDE = 1e-3


def box_area(boxes: Tensor) -> Tensor:
    """Area of (..., 4) boxes in square pixels, 0 for inverted boxes."""
    return _product(boxes[..., 2:] - boxes[..., :2])


def box_centers(boxes: Tensor) -> Tensor:
    """Centres (..., 2) of (..., 4) boxes."""
    return (boxes[..., :2] + boxes[..., 2:]) / 2


def decode_ltrb(points: Tensor, distances: Tensor) -> Tensor:
    """Boxes from points and the distances to their sides.

    Args:
        points: (..., 2) x, y in pixels.
        distances: (..., 4) left, top, right, bottom in pixels.
    """
    return torch.cat([points - distances[..., :2], points + distances[..., 2:]], dim=-1)


def encode_ltrb(points: Tensor, boxes: Tensor) -> Tensor:
    """Distances (..., 4) left, top, right, bottom from points (..., 2) to box sides, in pixels.

    A distance is negative where the point lies outside of that side.
    """
    return torch.cat([points - boxes[..., :2], boxes[..., 2:] - points], dim=-1)


def encode_offsets(boxes: Tensor, references: Tensor) -> Tensor:
    """What shifts and scales reference boxes to boxes, as in R-CNN (Girshick et al., CVPR 2014).

    Args:
        boxes: (..., 4).
        references: (..., 4), broadcastable to ``boxes``.

    Returns:
        (..., 4) offsets of the centre in widths and heights of the reference, logarithms of the
        ratios of width and height; sides below :data:`MIN_SIDE` count as that long.
    """
    size = (references[..., 2:] - references[..., :2]).clamp(min=MIN_SIDE)
    shift = (box_centers(boxes) - box_centers(references)) / size
    scale = ((boxes[..., 2:] - boxes[..., :2]).clamp(min=MIN_SIDE) / size).log()
    return torch.cat([shift, scale], dim=-1)


def elementwise_iou_giou(boxes: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """IoU and generalised IoU of corresponding boxes.

    Unlike torchvision's loss this has no boolean gather, which would wait for the device.
    Source of GIoU: Rezatofighi et al., CVPR 2019.

    Args:
        boxes: (..., 4).
        others: (..., 4), broadcastable to ``boxes``.

    Returns:
        IoU in [0, 1] and GIoU in [-1, 1], each (...). Two boxes without area have both 0.
    """
    inner = torch.minimum(boxes[..., 2:], others[..., 2:])
    inner = inner - torch.maximum(boxes[..., :2], others[..., :2])
    outer = torch.maximum(boxes[..., 2:], others[..., 2:])
    outer = outer - torch.minimum(boxes[..., :2], others[..., :2])
    intersection = _product(inner)
    union = box_area(boxes) + box_area(others) - intersection
    hull = _product(outer)
    iou = intersection / union.clamp(min=MIN_AREA)
    return iou, iou - (hull - union) / hull.clamp(min=MIN_AREA)


def _product(extent: Tensor) -> Tensor:
    """Width times height (...) of extents (..., 2), negative ones being 0."""
    # Not `prod`: its backward pass asks how many factors are 0, and waits for the answer.
    width, height = extent.clamp(min=0).unbind(-1)
    return width * height


def elementwise_iou(boxes: Tensor, others: Tensor) -> Tensor:
    """IoU of corresponding boxes, or of every pair if one has a dimension more.

    Args:
        boxes: (..., 4).
        others: (..., 4), broadcastable to ``boxes``.

    Returns:
        (...) in [0, 1]; 0 for two boxes without area.
    """
    intersection = _extent_of_overlap(boxes, others, 0) * _extent_of_overlap(boxes, others, 1)
    union = (box_area(boxes) + box_area(others)).sub_(intersection)
    return intersection / union.clamp(min=MIN_AREA)


def elementwise_diou(boxes: Tensor, others: Tensor) -> Tensor:
    """Distance IoU: the IoU less the squared distance of the centres over the hull's diagonal.

    Source: Zheng et al., "Distance-IoU Loss", AAAI 2020.

    Args:
        boxes: (..., 4).
        others: (..., 4), broadcastable to ``boxes``.

    Returns:
        (...) in [-1, 1].
    """
    return elementwise_iou(boxes, others) - _center_offset(boxes, others)


def elementwise_ciou(boxes: Tensor, others: Tensor) -> Tensor:
    """Complete IoU: the IoU less what centres and aspect ratios differ.

    Source: Zheng et al., "Distance-IoU Loss", AAAI 2020.

    Args:
        boxes: (..., 4).
        others: (..., 4), broadcastable to ``boxes``.

    Returns:
        (...) at most 1.
    """
    iou = elementwise_iou(boxes, others)
    diou = iou - _center_offset(boxes, others)
    aspect = (_diagonal_angle(boxes) - _diagonal_angle(others)).square() * (4 / math.pi**2)
    with torch.no_grad():
        trade_off = aspect / (1 - iou + aspect).clamp(min=MIN_AREA)
    return diou - trade_off * aspect


def _center_offset(boxes: Tensor, others: Tensor) -> Tensor:
    """Squared distance of the centres over the squared diagonal of the hull."""
    diagonal = _extent_of_hull(boxes, others, 0).square()
    diagonal = diagonal + _extent_of_hull(boxes, others, 1).square()
    x, y = box_centers(boxes).unbind(-1)
    other_x, other_y = box_centers(others).unbind(-1)
    distance = (x - other_x).square() + (y - other_y).square()
    return distance / diagonal.clamp(min=MIN_AREA)


def _extent_of_hull(boxes: Tensor, others: Tensor, axis: int) -> Tensor:
    """Along one axis."""
    high = torch.maximum(boxes[..., axis + 2], others[..., axis + 2])
    return high - torch.minimum(boxes[..., axis], others[..., axis])


def _diagonal_angle(boxes: Tensor) -> Tensor:
    """Between the diagonal and the vertical, in radians; 0 for a box without extent."""
    width, height = (boxes[..., 2:] - boxes[..., :2]).unbind(-1)
    return torch.atan(width / height.clamp(min=MIN_AREA))


def _extent_of_overlap(boxes: Tensor, others: Tensor, axis: int) -> Tensor:
    """Along one axis, at least 0."""
    high = torch.minimum(boxes[..., axis + 2], others[..., axis + 2])
    return high.sub_(torch.maximum(boxes[..., axis], others[..., axis])).clamp(min=0)


def depth_inside(points: Tensor, boxes: Tensor) -> Tensor:
    """How far every point (r, 2) lies inside every box (B, G, 4), in pixels.

    Returns:
        (B, G, r) distance to the nearest side, negative outside.
    """
    x, y = points.t().contiguous()
    x1, y1, x2, y2 = (side[..., None] for side in boxes.unbind(-1))
    return torch.minimum(torch.minimum(x - x1, x2 - x), torch.minimum(y - y1, y2 - y))


def distance_to_centers(points: Tensor, boxes: Tensor) -> Tensor:
    """How far every point (r, 2) lies from the centre of every box (B, G, 4), in pixels.

    Returns:
        (B, G, r), the larger one of the distances along x and y.
    """
    x, y = points.t().contiguous()
    center_x, center_y = box_centers(boxes)[..., None, :].unbind(-1)
    return torch.maximum((x - center_x).abs(), (y - center_y).abs())


def grid_points(height: int, width: int, stride: int, device: torch.device) -> Tensor:
    """Centres of the cells of a feature map, row by row.

    Returns:
        (height * width, 2) float32 x, y in pixels: ``index * stride + stride // 2``, as OneNet,
        FCOS and CenterNet place them.
    """
    y = torch.arange(height, dtype=torch.float32, device=device) * stride + stride // 2
    x = torch.arange(width, dtype=torch.float32, device=device) * stride + stride // 2
    y, x = torch.meshgrid(y, x, indexing="ij")
    return torch.stack([x, y], dim=-1).reshape(-1, 2)


def square_boxes(points: Tensor, size: Tensor) -> Tensor:
    """Squares (R, 4) of side ``size`` (R,) pixels around points (R, 2)."""
    half = size[:, None] / 2
    return torch.cat([points - half, points + half], dim=-1)


def gather_samples(values: Tensor, index: Tensor) -> Tensor:
    """Pick samples (or ground truths) of each image.

    Args:
        values: (B, R) or (B, R, C).
        index: (B, P) int64 into R.

    Returns:
        (B, P) or (B, P, C).
    """
    if values.dim() == 2:
        return values.gather(1, index)
    return values.gather(1, index[..., None].expand(-1, -1, values.shape[-1]))
