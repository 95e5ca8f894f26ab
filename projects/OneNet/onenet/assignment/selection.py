"""Selecting a few of many values."""

from __future__ import annotations

import math

import torch
from torch import Tensor


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
