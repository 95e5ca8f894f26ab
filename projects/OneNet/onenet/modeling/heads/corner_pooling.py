"""Corner pooling: what a corner can see of its object, along the two sides that meet in it."""

from __future__ import annotations

from torch import Tensor


def running_max(x: Tensor, dim: int, backwards: bool = False) -> Tensor:
    """The maximum of what lies up to each place along a dimension, or from it on (backwards)."""
    if backwards:
        return x.flip(dim).cummax(dim).values.flip(dim)
    return x.cummax(dim).values


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
