"""Priors of heads that predict at points, and the order of samples."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ...geometry import grid_points, square_boxes
from ...structures import Priors


@torch.no_grad()
def point_priors(features: list[Tensor], strides: Sequence[int], scale: float) -> Priors:
    """One sample a cell of each feature map, level by level, row by row.

    Args:
        features: (B, C, H, W) maps, finest first.
        strides: their strides in pixels.
        scale: side of the square prior boxes, in strides.
    """
    device = features[0].device
    grids = [
        grid_points(*feature.shape[-2:], stride, device)
        for feature, stride in zip(features, strides, strict=True)
    ]
    sizes = tuple(grid.shape[0] for grid in grids)  # not len(): symbolic in an export
    points = torch.cat(grids)
    level, stride = level_and_stride(sizes, strides, device)
    boxes = square_boxes(points, scale * stride)
    return Priors(boxes, points, stride, level, sizes, grid_shapes(features))


def grid_shapes(features: list[Tensor]) -> tuple[tuple[int, int], ...]:
    """Height and width of each feature map in cells."""
    return tuple(tuple(feature.shape[-2:]) for feature in features)


def level_and_stride(
    sizes: Sequence[int], strides: Sequence[int], device: torch.device
) -> tuple[Tensor, Tensor]:
    """Level (R,) int64 and stride (R,) float32 of samples that are stored level by level."""
    level = [torch.full((n,), index, device=device) for index, n in enumerate(sizes)]
    stride = [
        torch.full((n,), float(s), device=device) for s, n in zip(strides, sizes, strict=True)
    ]
    return torch.cat(level), torch.cat(stride)


def concat_levels(maps: list[Tensor], channels: int) -> Tensor:
    """Bring the outputs of all levels into the order of the samples.

    The one copy that this costs leaves each channel's row of samples contiguous, whatever memory
    format the maps have: costs and top-k walk along these rows.

    Args:
        maps: (B, A * channels, H, W) of each level; channel c of anchor a is ``a * channels + c``.
        channels: outputs of each sample.

    Returns:
        (B, channels, R): level by level, row by row, the anchors of a location side by side.
    """
    parts = [x.unflatten(1, (-1, channels)).flatten(3).permute(0, 2, 3, 1) for x in maps]
    return torch.cat(parts, dim=2).flatten(2).contiguous()
