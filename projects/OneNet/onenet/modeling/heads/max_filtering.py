"""3D max filtering: a sample sees the strongest response around it, also on the levels beside."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class MaxFiltering(nn.Module):
    """``relu(norm(x + max))``, where max goes over a cube of convolved features.

    The cube is a square of ``kernel`` cells on the level itself and on ``tau / 2`` levels to
    either side, resized bilinearly to it. So a later layer can compare a sample with its
    neighbours in place and scale. Source: DeFCN (Wang et al., CVPR 2021), section 3.3.
    """

    def __init__(self, channels: int, kernel: int = 3, tau: int = 2, groups: int = 0):
        """
        Args:
            channels: of the feature maps, in and out.
            kernel: side of the square in cells, odd.
            tau: levels beside the own one that are looked at, even.
            groups: of the group normalisation; 0 = no normalisation.
        """
        super().__init__()
        self.kernel = kernel
        self.reach = tau // 2
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.normal_(self.conv.weight, std=0.01)
        nn.init.zeros_(self.conv.bias)
        self.norm = nn.GroupNorm(groups, channels) if groups else nn.Identity()

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """(B, C, H, W) maps of adjacent levels, finest first -> maps of the same shapes."""
        convolved = [self.conv(x) for x in features]
        return [
            F.relu(self.norm(x + self._maximum(convolved, level)))
            for level, x in enumerate(features)
        ]

    def _maximum(self, convolved: list[Tensor], level: int) -> Tensor:
        size = convolved[level].shape[-2:]
        highest = convolved[level]
        for other in range(level - self.reach, level + self.reach + 1):
            if other != level and 0 <= other < len(convolved):
                resized = F.interpolate(convolved[other], size, mode="bilinear")
                highest = torch.maximum(highest, resized)
        return F.max_pool2d(highest, self.kernel, stride=1, padding=self.kernel // 2)
