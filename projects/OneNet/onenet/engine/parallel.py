"""Models of which every process has a copy."""

from __future__ import annotations

from torch import nn
from torch.nn.parallel import DistributedDataParallel


def unwrapped(model: nn.Module) -> nn.Module:
    """The model itself, where it is one of several parallel copies."""
    return model.module if isinstance(model, DistributedDataParallel) else model
