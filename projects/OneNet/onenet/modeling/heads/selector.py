"""The positive sample selector: which of the good samples of an object keeps its score."""

from __future__ import annotations

import math
from collections.abc import Sequence

import fvcore.nn.weight_init as weight_init
import torch
from torch import Tensor, nn

from ...structures import Predictions
from .max_filtering import MaxFiltering
from .rivals import score_margins

OVERLAPS = (0.4, 0.6, 0.75)  # IoU of boxes whose scores are compared
FARTHEST = -4.0  # a margin below this says no more


class Selector(nn.Module):
    """Predicts one selection logit a sample from what the rest of the head has found.

    The score of a detection is sigmoid(class) * sigmoid(selection). Classes and boxes learn from
    many samples of an object, the selection which of them keeps its score: a learned substitute for
    NMS. No gradient leaves this module. Source: Zhou et al., "Object Detection Made Simpler by
    Eliminating Heuristic NMS", 2021. New here is that it sees the margin of a class score to the
    best one of the samples around it with an overlapping box, and whether it is that one itself.
    """

    def __init__(
        self,
        channels: int,
        num_anchors: int = 1,
        num_convs: int = 1,
        max_filtering: bool = False,
    ):
        """
        Args:
            channels: of the feature maps.
            num_anchors: A, samples a location.
            num_convs: 3x3 convolutions before the output, of half as many channels, at least 1.
            max_filtering: after them, compare the features of neighbours, also between levels.
        """
        super().__init__()
        self.num_anchors = num_anchors
        relations = num_anchors * (1 + 2 * len(OVERLAPS))
        width = channels + relations
        layers: list[nn.Module] = []
        for _ in range(num_convs):
            layers += [nn.Conv2d(width, channels // 2, 3, padding=1), nn.ReLU(inplace=True)]
            weight_init.c2_msra_fill(layers[-2])
            width = channels // 2
        self.tower = nn.Sequential(*layers)
        self.filtering = MaxFiltering(width) if max_filtering else None
        self.output = nn.Conv2d(width + relations, num_anchors, 3, padding=1)
        nn.init.normal_(self.output.weight, std=0.01)
        nn.init.zeros_(self.output.bias)

    def forward(self, features: Sequence[Tensor], predictions: Predictions) -> Tensor:
        """Selection logits (B, R).

        Args:
            features: (B, C, H, W) of each level, finest first.
            predictions: of the R samples, without a quality.
        """
        scores, labels = predictions.logits.detach().float().max(dim=2)
        grids = [(*x.shape[-2:], self.num_anchors) for x in features]
        sizes = [math.prod(grid) for grid in grids]
        parts = [x.split(sizes, dim=1) for x in (scores, labels, predictions.boxes)]
        maps = [
            [x.unflatten(1, grid) for x in level]
            for *level, grid in zip(*parts, grids, strict=True)
        ]

        relations = [_relations(*level) for level in maps]
        found = [
            self.tower(torch.cat([x.detach(), relation], dim=1))
            for x, relation in zip(features, relations, strict=True)
        ]
        if self.filtering is not None:
            found = self.filtering(found)
        outputs = [self.output(torch.cat(x, dim=1)) for x in zip(found, relations, strict=True)]
        return torch.cat([x.permute(0, 2, 3, 1).flatten(1) for x in outputs], dim=1)


def _relations(scores: Tensor, labels: Tensor, boxes: Tensor) -> Tensor:
    """(B, C, H, W): the scores, their margins, and whether they are the best of their rivals."""
    margins = score_margins(scores, labels, boxes, OVERLAPS)
    seen = [scores, margins.clamp(min=FARTHEST), (margins >= 0).float()]
    return torch.cat(seen, dim=3).permute(0, 3, 1, 2)
