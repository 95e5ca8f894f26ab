"""Samples that several ground truths want."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from onenet.assignment import Condition
from torch import Tensor


def highest_taker(sample: Tensor, value: Tensor, taken: Tensor, num_samples: int) -> Tensor:
    """Each sample goes to the ground truth that takes it with the highest value.

    Args:
        sample: (B, G, C) int64, no index twice in a row.
        value: (B, G, C) float32, what the sample is worth to the ground truth.
        taken: (B, G, C) bool.
        num_samples: R.

    Returns:
        (B, R) int64 the ground truth, of equal ones the first; G where nobody takes the sample.
    """
    batch, slots, _ = sample.shape
    gt = torch.arange(slots, device=sample.device)[:, None].expand_as(sample).flatten(1)
    sample, value, taken = sample.flatten(1), value.flatten(1), taken.flatten(1)
    best = value.new_full((batch, num_samples), -torch.inf)
    best = best.scatter_reduce(1, sample, value.masked_fill(~taken, -torch.inf), "amax")
    wins = taken & (value == best.gather(1, sample))
    owner = gt.new_full((batch, num_samples), slots)
    return owner.scatter_reduce(1, sample, gt.masked_fill(~wins, slots), "amin")


def favourite_if_shared(
    sample: Tensor, taken: Tensor, favourite: Tensor, num_samples: int
) -> Tensor:
    """A sample that several ground truths take goes to its favourite of all of them.

    Args:
        sample: (B, G, C) int64, no index twice in a row.
        taken: (B, G, C) bool.
        favourite: (B, R) int64, a ground truth for each sample, also one that does not take it.
        num_samples: R.

    Returns:
        (B, R) int64 the ground truth; G where nobody takes the sample.
    """
    owner = highest_taker(sample, torch.zeros_like(sample).float(), taken, num_samples)
    takers = torch.zeros_like(owner).scatter_add(1, sample.flatten(1), taken.flatten(1).long())
    return torch.where(takers > 1, favourite, owner)


def contest(name: str, value: Tensor, wanted: Tensor, unit: str = "") -> Condition:
    """The condition that a sample goes to the ground truth that :func:`highest_taker` gives it to.

    Args:
        name: of the condition.
        value: (B, G, R) float32, what the sample is worth to the ground truth.
        wanted: (B, G, R) bool, who takes it.
        unit: of the value.
    """
    num_samples = wanted.shape[-1]
    sample = torch.arange(num_samples, device=wanted.device).expand_as(wanted)
    owner = highest_taker(sample, value, wanted, num_samples)
    return Condition(name, is_owner(owner, wanted.shape[1]), ahead(value, wanted), unit, True)


def is_owner(owner: Tensor, slots: int) -> Tensor:
    """(B, G, R) bool, whether a sample with this ``owner`` (B, R) is the ground truth's."""
    return owner[:, None] == torch.arange(slots, device=owner.device)[:, None]


def ahead(value: Tensor, wanted: Tensor) -> Tensor:
    """How far the value (B, G, R) is above the largest of the others who want the sample."""
    bids = F.pad(value.masked_fill(~wanted, -torch.inf), (0, 0, 0, 1), value=-torch.inf)
    (best, second), (leader, _) = (x.unbind(1) for x in bids.topk(2, dim=1))
    others = torch.where(is_owner(leader, value.shape[1]), second[:, None], best[:, None])
    return value - others
