"""Which level of a pyramid is to learn an object, told from its features."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from onenet import GroundTruth, Priors
from onenet.assignment.levels import level_slices
from torch import Tensor, nn
from torchvision.ops import roi_align

CROP = 7  # cells a side, which three convolutions bring down to one
WIDTH = 256


class LevelWeights(nn.Module):
    """Cuts an object out of all levels, and scores each of them."""

    def __init__(self, channels: int, num_levels: int):
        """
        Args:
            channels: of the features, on every level.
            num_levels: L.
        """
        super().__init__()
        widths = channels * num_levels, WIDTH, WIDTH, WIDTH
        layers: list[nn.Module] = []
        for before, after in zip(widths, widths[1:], strict=False):
            layers += [nn.Conv2d(before, after, 3), nn.ReLU(inplace=True)]
        self.convs = nn.Sequential(*layers)
        self.score = nn.Linear(WIDTH, num_levels)

    def forward(self, features: Sequence[Tensor], priors: Priors, gt: GroundTruth) -> Tensor:
        """Logits (B, G, L) of the levels, float32.

        Args:
            features: (B, C, H, W) of each level, finest first.
            priors: of the same levels, for their strides.
            gt: G padded ground truths for each of B images.
        """
        image = torch.arange(len(gt.labels), device=gt.boxes.device)[:, None, None]
        regions = torch.cat([image.expand(*gt.labels.shape, 1), gt.boxes], dim=-1).flatten(0, 1)
        crops = []
        for feature, level in zip(features, level_slices(priors), strict=True):
            in_cells = torch.cat([regions[:, :1], regions[:, 1:] / priors.stride[level.start]], 1)
            crops.append(roi_align(feature.float(), in_cells, CROP, aligned=True))
        described = self.convs(torch.cat(crops, dim=1)).flatten(1)
        return self.score(described).view(*gt.labels.shape, -1)
