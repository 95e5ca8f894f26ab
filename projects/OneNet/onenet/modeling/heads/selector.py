"""The positive sample selector: which of the good samples of an object keeps its score."""

from __future__ import annotations

import math
from collections.abc import Sequence

import fvcore.nn.weight_init as weight_init
import torch
import torch.nn.functional as F
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

    def __init__(self, channels: int, num_anchors: int = 1, max_filtering: bool = False):
        """
        Args:
            channels: of the feature maps.
            num_anchors: A, samples a location.
            max_filtering: before the output, compare the features of neighbours, also between
                levels.
        """
        super().__init__()
        self.num_anchors = num_anchors
        width = channels // 2
        relations = num_anchors * (1 + 2 * len(OVERLAPS))
        self.features = nn.Conv2d(channels, width, 3, padding=1)
        self.relations = nn.Conv2d(relations, width + num_anchors, 3, padding=1, bias=False)
        self.filtering = MaxFiltering(width) if max_filtering else None
        self.output = nn.Conv2d(width, num_anchors, 3, padding=1)
        weight_init.c2_msra_fill(self.features)
        weight_init.c2_msra_fill(self.relations)
        for weight in (self.relations.weight[width:], self.output.weight):
            nn.init.normal_(weight, std=0.01)
        nn.init.zeros_(self.output.bias)

    def forward(self, features: Sequence[Tensor], predictions: Predictions) -> Tensor:
        """Selection logits (B, R).

        Args:
            features: (B, C, H, W) of each level, finest first.
            predictions: of the R samples, without a quality and without a gradient.
        """
        scores, labels = predictions.logits.max(dim=2)
        grids = [(*x.shape[-2:], self.num_anchors) for x in features]
        sizes = [math.prod(grid) for grid in grids]
        parts = [x.split(sizes, dim=1) for x in (scores, labels, predictions.boxes)]
        levels = [
            [x.unflatten(1, grid) for x in level]
            for *level, grid in zip(*parts, grids, strict=True)
        ]
        related = [self.relations(_relations(*level)) for level in levels]
        found = [
            F.relu(self.features(feature.detach()) + x[:, : -self.num_anchors])
            for feature, x in zip(features, related, strict=True)
        ]
        if self.filtering is not None:
            found = self.filtering(found)
        outputs = [
            self.output(feature) + x[:, -self.num_anchors :]
            for feature, x in zip(found, related, strict=True)
        ]
        return torch.cat([x.permute(0, 2, 3, 1).flatten(1) for x in outputs], dim=1)


def _relations(scores: Tensor, labels: Tensor, boxes: Tensor) -> Tensor:
    """(B, C, H, W): the scores, their margins, and whether they are the best of their rivals."""
    margins = score_margins(scores, labels, boxes, OVERLAPS)
    seen = [scores, margins.clamp(min=FARTHEST), (margins >= 0).float()]
    return torch.cat(seen, dim=3).permute(0, 3, 1, 2)
