"""Adaptively spatial feature fusion: a level takes from all levels what it needs in each place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from detectron2.layers import Conv2d, get_norm
from torch import Tensor, nn

WEIGHT_CHANNELS = 16  # of each level, from which the weights are told
_leaky_relu = partial(F.leaky_relu, negative_slope=0.1)


class ASFF(nn.Module):
    """Mixes the levels of a pyramid, on each of them with weights of its own.

    Numbers and widths of the levels stay as they are. Source: Liu et al., "Learning Spatial Fusion
    for Single-Shot Object Detection", 2019.
    """

    def __init__(self, channels: Sequence[int], norm: str = "BN"):
        """
        Args:
            channels: of each level, finest first; each has half the resolution of the one before.
            norm: after each convolution, as Detectron2 names it; "" = none.
        """
        super().__init__()
        levels = range(len(channels))
        self.fusions = nn.ModuleList(LevelFusion(channels, i, channels[i], norm) for i in levels)

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """(B, C, H, W) maps, finest first -> maps of the same shapes."""
        return [fusion(features) for fusion in self.fusions]


class LevelFusion(nn.Module):
    """The mixture on one level.

    All levels are brought to its resolution and width: finer ones by a convolution of stride 2,
    after a maximum of stride 2 for each further halving; coarser ones by repeating pixels, and a
    1x1 convolution before if their widths differ. Weights that sum to 1 in every pixel are told
    from all of them; the weighted sum passes a 3x3 convolution.
    """

    def __init__(
        self,
        channels: Sequence[int],
        level: int,
        out_channels: int,
        norm: str = "BN",
        weight_channels: int = WEIGHT_CHANNELS,
    ):
        """
        Args:
            channels: of each level, finest first.
            level: the one to mix on.
            out_channels: of the result.
            norm: see :class:`ASFF`.
            weight_channels: of each level, from which the weights are told.
        """
        super().__init__()
        self.level = level
        width = channels[level]
        self.adapt = nn.ModuleList(
            _adapt(c, width, level - index, norm) for index, c in enumerate(channels)
        )
        self.describe = nn.ModuleList(_conv(width, weight_channels, 1, norm) for _ in channels)
        self.weigh = nn.Conv2d(len(channels) * weight_channels, len(channels), 1)
        self.expand = _conv(width, out_channels, 3, norm)

    def forward(self, features: list[Tensor]) -> Tensor:
        """(B, C, H, W) maps of all levels, finest first -> the map of this level."""
        levels = self.adapted(features)
        weights = self.weights(levels).split(1, dim=1)
        return self.expand(sum(x * weight for x, weight in zip(levels, weights, strict=True)))

    def adapted(self, features: list[Tensor]) -> list[Tensor]:
        """All maps in the resolution and width of this level."""
        size = features[self.level].shape[-2:]
        levels = [adapt(x) for adapt, x in zip(self.adapt, features, strict=True)]
        finer, coarser = levels[: self.level + 1], levels[self.level + 1 :]
        return finer + [F.interpolate(x, size, mode="nearest") for x in coarser]

    def weights(self, levels: list[Tensor]) -> Tensor:
        """(B, levels, H, W) of adapted maps; they sum to 1 over the levels."""
        described = [describe(x) for describe, x in zip(self.describe, levels, strict=True)]
        return self.weigh(torch.cat(described, dim=1)).softmax(dim=1)


def _adapt(channels: int, width: int, halvings: int, norm: str) -> nn.Module:
    """A map of another level to this width, and down to this resolution if it is a finer one."""
    if halvings > 0:
        pools = [nn.MaxPool2d(3, stride=2, padding=1) for _ in range(halvings - 1)]
        return nn.Sequential(*pools, _conv(channels, width, 3, norm, stride=2))
    return nn.Identity() if channels == width else _conv(channels, width, 1, norm)


def _conv(channels: int, width: int, kernel: int, norm: str, stride: int = 1) -> Conv2d:
    return Conv2d(
        channels,
        width,
        kernel,
        stride=stride,
        padding=kernel // 2,
        bias=not norm,
        norm=_norm(norm, width),
        activation=_leaky_relu,
    )


def _norm(norm: str, width: int) -> nn.Module | None:
    """Detectron2's, but for group norm of fewer channels than its 32 groups."""
    if norm == "GN":
        return nn.GroupNorm(math.gcd(32, width), width)
    return get_norm(norm, width)
