"""Optimal transport with a little entropy."""

from __future__ import annotations

import torch
from torch import Tensor

# Least mass, and least divisor: what nothing can reach gets nothing.
LEAST_MASS, LEAST_SUM = 1e-8, 1e-300


def shares_of_plan(cost: Tensor, supply: Tensor, epsilon: float, iterations: int) -> Tensor:
    """How the suppliers share out what they have, in units of the largest amount of each.

    Every sample demands 1. Suppliers and samples take turns in scaling what they send and receive
    to what they have and want (Sinkhorn's iterations; Cuturi, NeurIPS 2013), samples first.

    Iterations multiply instead of adding logarithms, which is several times faster. For that, costs
    are relative to the least one of the sample and then to that of the supplier, which no share
    depends on, so that each row and column of the kernel has a 1; and numbers are double.

    Args:
        cost: (B, N, R) of N suppliers for R samples, float64, finite.
        supply: (B, N), float64; a supplier that has nothing takes no part. Some other one must be
            left.
        epsilon: weight of the entropy, in units of cost.
        iterations: how many.

    Returns:
        (B, N, R) in [0, 1], the transport plan divided by the maximum of each row.
    """
    takes_part = (supply > 0)[..., None]
    cost = cost.masked_fill(~takes_part, torch.finfo(cost.dtype).max / 4)
    cost = cost - cost.amin(dim=1, keepdim=True)
    least = cost.amin(dim=2, keepdim=True)
    kernel = cost.sub_(least).div_(-epsilon).exp_().mul_(takes_part)
    sent = (least / -epsilon).exp()
    supply = supply[..., None] + LEAST_MASS * takes_part
    for _ in range(iterations):
        received = 1 / (sent.mT @ kernel).clamp(min=LEAST_SUM)
        sent = supply / (kernel @ received.mT).clamp(min=LEAST_SUM)
    # What is sent scales a whole row, which the maximum takes back.
    plan = kernel.mul_(received)
    return plan.div_(plan.amax(dim=2, keepdim=True).clamp(min=LEAST_SUM))
