"""Matching costs between every sample and every ground truth.

All costs are (B, G, r) float32 for r samples: one row of samples a ground truth, because that is
the direction in which the minimum is taken. Source: OneNet, section 3.2; the constants are those
of the reference implementation.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..geometry import MIN_AREA
from ..structures import GroundTruth
from .pieces import in_rows

# The official implementation adds this inside of both logarithms.
LOG_EPS = 1e-8


def focal_cost(logits: Tensor, alpha: float, gamma: float) -> Tensor:
    """What the focal loss would change if a sample became positive, elementwise.

    ``alpha (1-p)^gamma (-log(p + eps)) - (1-alpha) p^gamma (-log(1-p + eps))``, p = sigmoid.
    """
    p = logits.sigmoid()
    q = 1 - p
    negative = (q + LOG_EPS).log_().mul_(p.pow(gamma))
    return p.add_(LOG_EPS).log_().mul_(q.pow_(gamma)).mul_(-alpha).add_(negative, alpha=1 - alpha)


def class_cost(logits: Tensor, labels: Tensor, alpha: float, gamma: float) -> Tensor:
    """Focal cost of each sample for the class of each ground truth.

    Args:
        logits: (B, r, K), float32.
        labels: (B, G) int64 in [0, K).

    Returns:
        (B, G, r). Only the classes that occur are evaluated, unless there are fewer classes than
        ground truths.
    """
    rows = logits.transpose(1, 2)
    image = torch.arange(len(labels), device=labels.device)[:, None]
    if labels.shape[1] > rows.shape[1]:
        return focal_cost(rows, alpha, gamma)[image, labels]
    return focal_cost(rows[image, labels], alpha, gamma)


def box_cost(boxes: Tensor, gt: GroundTruth, l1_weight: float, giou_weight: float) -> Tensor:
    """``l1_weight * L1 - giou_weight * GIoU`` for every pair.

    L1 is the sum of the four absolute differences in units of the image's width and height. For
    each axis the two differences sum to (extent of the hull) - (signed overlap), and hull +
    overlap to the sum of the two extents, so that L1, union and hull all follow from the overlap
    alone. The reference computes the same quantities separately.

    Args:
        boxes: (B, r, 4) with x2 >= x1 and y2 >= y1.

    Returns:
        (B, G, r).
    """
    # Rows, because every ground truth reads the sides of all samples; both axes at once where the
    # result is small, because a GPU takes as long to launch an operation as to do it.
    sides = in_rows(boxes).mT
    extent = sides[:, 2:] - sides[:, :2]
    gt_extent = gt.boxes[..., 2:] - gt.boxes[..., :2]
    per_pixel = l1_weight / gt.image_size.flip(-1)
    own = (extent * per_pixel[..., None]).sum(dim=1)
    gt_own = (gt_extent * per_pixel[:, None]).sum(dim=-1).add_(giou_weight)
    cost = own[:, None] + gt_own[..., None]

    x1, y1, x2, y2 = (side[:, None] for side in sides.unbind(1))
    gx1, gy1, gx2, gy2 = (side[..., None] for side in gt.boxes.unbind(-1))
    overlap_x = torch.minimum(x2, gx2).sub_(torch.maximum(x1, gx1))
    overlap_y = torch.minimum(y2, gy2).sub_(torch.maximum(y1, gy1))
    cost.addcmul_(overlap_x, per_pixel[:, 0, None, None], value=-2)
    cost.addcmul_(overlap_y, per_pixel[:, 1, None, None], value=-2)
    if giou_weight == 0:
        return cost

    width, height = (side[:, None] for side in extent.unbind(1))
    gt_width, gt_height = (side[..., None] for side in gt_extent.unbind(-1))
    hull = (width + gt_width).sub_(overlap_x).mul_((height + gt_height).sub_(overlap_y))
    intersection = overlap_x.clamp_(min=0).mul_(overlap_y.clamp_(min=0))
    union = (width * height + gt_width * gt_height).sub_(intersection).clamp_(min=MIN_AREA)
    # GIoU = intersection / union + union / hull - 1; the 1 is in the cost already.
    cost.addcdiv_(intersection, union, value=-giou_weight)
    return cost.addcdiv_(union, hull.clamp_(min=MIN_AREA), value=-giou_weight)


def center_cost(points: Tensor, gt: GroundTruth) -> Tensor:
    """Distance of fixed points from the centres of the ground truths.

    Twice the L1 distance of the centres in units of the image's width and height, which is the L1
    cost of a point as if it were a box without extent (reference: ``PRE_DEFINE``).

    Args:
        points: (r, 2) pixels.

    Returns:
        (B, G, r).
    """
    scale_x, scale_y = gt.scale[..., 0], gt.scale[..., 1]
    center_x = (gt.boxes[..., 0] + gt.boxes[..., 2]) / scale_x
    center_y = (gt.boxes[..., 1] + gt.boxes[..., 3]) / scale_y
    x = 2 * points[:, 0] / scale_x[..., None] - center_x[..., None]
    y = 2 * points[:, 1] / scale_y[..., None] - center_y[..., None]
    return x.abs_().add_(y.abs_())


def outside_level_range(points: Tensor, ranges: Tensor, gt: GroundTruth) -> Tensor:
    """Whether a ground truth is too small or too large for the level of a sample.

    The size is the largest of the distances from the point to the left, right and bottom side. The
    reference overwrites the distance to the top by that to the bottom; published results rest on
    that, so it is kept.

    Args:
        points: (r, 2) pixels.
        ranges: (r, 2) smallest and largest size of the sample's level, both included, pixels.

    Returns:
        (B, G, r) bool.
    """
    boxes = gt.boxes[..., None]
    left = points[:, 0] - boxes[..., 0, :]
    right = boxes[..., 2, :] - points[:, 0]
    bottom = boxes[..., 3, :] - points[:, 1]
    size = torch.maximum(torch.maximum(left, right), bottom)
    return (size < ranges[:, 0]) | (size > ranges[:, 1])
