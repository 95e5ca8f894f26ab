"""Exact one-to-one assignment of least total cost."""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor


def solve_hungarian(cost: Tensor, sample: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Minimise the total cost of pairing each ground truth with a sample of its own.

    Only the cheapest samples of each ground truth need to be known. If every ground truth lists
    its n cheapest samples and there are at most n ground truths, some optimal solution uses
    listed pairs alone: a ground truth that uses an unlisted sample could change to one of its n
    listed ones that no other ground truth occupies, at no greater cost. That makes the transfer
    to the CPU and the problem of the solver independent of the number of samples.

    Args:
        cost: (B, G, n) float32, finite; the n cheapest pairs of each ground truth.
        sample: (B, G, n) int64, the samples of these pairs.
        valid: (B, G) bool, ground truths that take part.

    Returns:
        chosen sample (B, G) int64, and (B, G) bool, False where a ground truth is padding or went
        without because there are fewer samples than ground truths.
    """
    packed = torch.cat([cost.double(), sample.double(), valid[..., None].double()], dim=-1)
    host = packed.cpu().numpy()  # the one transfer of the step
    count = cost.shape[-1]
    chosen = np.zeros(valid.shape, dtype=np.int64)
    matched = np.zeros(valid.shape, dtype=bool)
    for image, rows in enumerate(host):
        slots = np.flatnonzero(rows[:, -1])
        if len(slots) == 0:
            continue
        candidates = rows[slots, count : 2 * count].astype(np.int64)
        gt, picked = _solve_listed(rows[slots, :count], candidates)
        chosen[image, slots[gt]] = picked
        matched[image, slots[gt]] = True
    return torch.from_numpy(chosen).to(sample.device), torch.from_numpy(matched).to(sample.device)


def _solve_listed(cost: np.ndarray, sample: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Solve one image: (M, n) costs of (M, n) listed samples -> (ground truths, samples)."""
    gt = np.arange(len(cost))
    cheapest = sample[gt, cost.argmin(axis=1)]
    if len(set(cheapest.tolist())) == len(cost):  # nobody competes: no solution costs less
        return gt, cheapest
    columns, position = np.unique(sample, return_inverse=True)
    # A pair that nobody listed must be dearer than any complete solution of listed ones.
    unlisted = (np.abs(cost).max() + 1.0) * (2 * len(cost) + 1)
    matrix = np.full((len(cost), len(columns)), unlisted)
    np.put_along_axis(matrix, position.reshape(sample.shape), cost, axis=1)
    gt, column = linear_sum_assignment(matrix)
    return gt, columns[column]
