"""Selecting a few of many values."""

from __future__ import annotations

import math

import torch
from torch import Tensor

INDEX_BITS = 32


def smallest(values: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The smallest values of each row, in no particular order.

    The same values as ``torch.topk`` finds, several times faster in long rows: the values are dealt
    into groups, and the ``count`` smallest are in the ``count`` groups with the smallest minima.

    Args:
        values: (..., n).
        count: how many; all n if there are fewer.

    Returns:
        values and int64 indices, each (..., min(count, n)).
    """
    length = values.shape[-1]
    if length <= count:
        return values, torch.arange(length, device=values.device).expand_as(values)
    group_size = math.isqrt(length // count) // 2  # about where the two topk cost the same
    if group_size < 2:
        return values.topk(count, largest=False, sorted=False)
    num_groups = length // group_size
    dealt = values[..., : group_size * num_groups].unflatten(-1, (group_size, num_groups))
    group = dealt.amin(dim=-2).topk(count, largest=False, sorted=False).indices

    members = dealt.gather(-1, group[..., None, :].expand(*dealt.shape[:-1], count)).flatten(-2)
    remainder = values[..., group_size * num_groups :]  # of the deal; always looked at
    found, position = torch.cat([members, remainder], dim=-1).topk(
        count, largest=False, sorted=False
    )
    rank = torch.div(position, count, rounding_mode="floor")
    index = rank * num_groups + group.gather(-1, position - rank * count)
    num_members = group_size * count
    undealt = position - num_members + group_size * num_groups
    return found, torch.where(position < num_members, index, undealt)


class SmallestSoFar:
    """The smallest values of rows that come in pieces; of equal values those of lowest index."""

    def __init__(self, count: int):
        """
        Args:
            count: how many of each row; all of them if there are fewer.
        """
        self.count = count
        self._keys: Tensor | None = None

    def add(self, values: Tensor, start: int) -> None:
        """Look at one more piece.

        Args:
            values: (..., n) float32, no NaN.
            start: index of the first of them in its row.
        """
        keys = _keys(values, start)
        if self._keys is not None:
            keys = torch.cat([self._keys, smallest(keys, self.count)[0]], dim=-1)
        self._keys, _ = smallest(keys, self.count)

    def result(self) -> tuple[Tensor, Tensor]:
        """Values in ascending order and int64 indices, each (..., count)."""
        keys = self._keys.sort(dim=-1).values
        ordered = (keys >> INDEX_BITS).int()
        return _flip(ordered).view(torch.float32), keys & ((1 << INDEX_BITS) - 1)


def _keys(values: Tensor, start: int) -> Tensor:
    """Integers in the order of the values, of equal ones in that of their indices; all differ."""
    index = torch.arange(start, start + values.shape[-1], device=values.device)
    ordered = _flip((values + 0.0).view(torch.int32))  # there are two zeros, -0 + 0 is the other
    return (ordered.long() << INDEX_BITS).add_(index)


def _flip(bits: Tensor) -> Tensor:
    """Between the bits of float32 numbers and int32 numbers of the same order; its own inverse."""
    return bits ^ ((bits >> 31) & 0x7FFFFFFF)
