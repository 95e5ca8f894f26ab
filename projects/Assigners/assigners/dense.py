"""What the many-to-one rules share."""

from __future__ import annotations

import torch
from onenet import Assignment
from torch import Tensor


def dense_assignment(gt: Tensor, positive: Tensor, ignored: Tensor | None = None) -> Assignment:
    """One slot a sample, hard labels, normalised by the number of positives.

    Args:
        gt: (B, R) int64 in [0, G), the ground truth of each sample; anything where not positive.
        positive: (B, R) bool.
        ignored: (B, R) bool, samples that the class loss leaves out; None = none.
    """
    weight = positive.float()
    return Assignment(
        sample=torch.arange(gt.shape[1], device=gt.device).expand_as(gt),
        gt=gt,
        weight=weight,
        score=torch.ones_like(weight),
        cls_weight=None if ignored is None else (~ignored).float()[..., None],
        normalizer=weight.sum(),
        num_samples=gt.shape[1],
    )
