"""Spatial priors: which samples may be positive for an object, by where they lie."""

from __future__ import annotations

import torch
from torch import Tensor

from ..geometry import depth_inside, distance_to_centers
from ..structures import Priors


def in_center_region(priors: Priors, boxes: Tensor, radius: float) -> Tensor:
    """Whether a point lies strictly inside a box and less than ``radius`` strides from its centre.

    Args:
        priors: R samples.
        boxes: (B, G, 4) pixels.
        radius: along x and y, in strides of the sample's level; infinite = inside is enough.

    Returns:
        (B, G, R) bool.
    """
    return _region(priors, boxes, distance_to_centers(priors.points, boxes), radius)


def center_region_depth(priors: Priors, boxes: Tensor, radius: float) -> Tensor:
    """(B, G, R), how far a point lies inside the region of :func:`in_center_region`, in pixels."""
    near = radius * priors.stride - distance_to_centers(priors.points, boxes)
    return torch.minimum(near, depth_inside(priors.points, boxes))


def prefer_center_region(
    cost: Tensor, priors: Priors, boxes: Tensor, radius: float, worst: float
) -> Tensor:
    """Costs with which no sample outside of the region of :func:`in_center_region` is chosen before
    one in it, and among those outside the nearer one to the centre first.

    So an object without any sample in its region takes the nearest. Nothing of the cost is left
    outside: beside a penalty that is large enough, float32 would not tell small costs apart, and
    cost alone may prefer a sample on another object far away.

    Args:
        cost: (B, G, R) float32, no NaN; it is changed.
        priors, boxes, radius: as for :func:`in_center_region`.
        worst: positive; no cost in the region counts more.

    Returns:
        (B, G, R), at most ``worst`` in the region, between that and twice as much outside.
    """
    distance = distance_to_centers(priors.points, boxes)
    region = _region(priors, boxes, distance, radius)
    outside = (distance / (1 + distance)).add_(1).mul_(worst)
    return torch.where(region, cost.clamp_(max=worst), outside)


def _region(priors: Priors, boxes: Tensor, distance: Tensor, radius: float) -> Tensor:
    return (distance < radius * priors.stride) & (depth_inside(priors.points, boxes) > 0)
