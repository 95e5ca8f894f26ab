"""Scores that are products of two sigmoids."""

from __future__ import annotations

import torch
from torch import Tensor


def joint_logit(logits: Tensor, others: Tensor) -> Tensor:
    """The logit of ``sigmoid(logits) * sigmoid(others)``.

    ``1 / (p q) - 1 = e^-a + e^-b + e^-(a + b)`` for ``p = sigmoid(a)`` and ``q = sigmoid(b)``.
    The logarithm of this sum neither overflows nor cancels, in the value or in the gradient.

    Args:
        logits: any shape, float32.
        others: broadcastable to ``logits``.
    """
    neither = torch.logaddexp(-logits, -others)
    return -torch.logaddexp(neither, -logits - others)
