"""Corner pooling: what a corner can see of its object, along the two sides that meet in it."""

from __future__ import annotations

import torch
from torch import Tensor

DOUBLINGS = 11  # a side of the map has at most 2^11 cells


def running_max(x: Tensor, dim: int, backwards: bool = False) -> Tensor:
    """The maximum of what lies up to each place along a dimension, or from it on (backwards)."""
    if torch.compiler.is_exporting():
        return max_by_doubling(x, dim, backwards)
    if backwards:
        return x.flip(dim).cummax(dim).values.flip(dim)
    return x.cummax(dim).values


def max_by_doubling(x: Tensor, dim: int, backwards: bool) -> Tensor:
    """The same from operations that ONNX has; with each step a place sees twice as far."""
    size = x.shape[dim]
    place = torch.arange(size, device=x.device)
    for power in range(DOUBLINGS):
        seen = place + (2**power if backwards else -(2**power))
        x = torch.maximum(x, x.index_select(dim, seen.clamp(min=0).clamp(max=size - 1)))
    return x


def top_left_pool(rows: Tensor, columns: Tensor) -> Tensor:
    """What lies to the right of and below each cell.

    Args:
        rows: (B, C, H, W), its maximum from each cell to the right.
        columns: (B, C, H, W), its maximum from each cell downwards.

    Returns:
        (B, C, H, W), the sum of both. Source: CornerNet (Law and Deng, ECCV 2018), section 3.5.
    """
    return running_max(rows, 3, backwards=True) + running_max(columns, 2, backwards=True)


def bottom_right_pool(rows: Tensor, columns: Tensor) -> Tensor:
    """The same of what lies to the left of and above each cell."""
    return running_max(rows, 3) + running_max(columns, 2)
