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
        relations = num_anchors * (1 + 2 * len(OVERLAPS))
        self.features = nn.Conv2d(channels, channels, 1)
        self.relations = nn.Conv2d(relations, channels, 3, padding=1, bias=False)
        self.filtering = MaxFiltering(channels) if max_filtering else None
        self.output = nn.Conv2d(channels, num_anchors, 3, padding=1)
        self.shortcut = nn.Conv2d(relations, num_anchors, 3, padding=1, bias=False)
        for layer in (self.features, self.relations):
            weight_init.c2_msra_fill(layer)
        for layer in (self.output, self.shortcut):
            nn.init.normal_(layer.weight, std=0.01)
        nn.init.zeros_(self.output.bias)

    def forward(self, features: Sequence[Tensor], predictions: Predictions) -> Tensor:
        """Selection logits (B, R).

        Args:
            features: (B, C, H, W) of each level, finest first.
            predictions: of the R samples, without a quality and without a gradient.
        """
        grids = [(*x.shape[-2:], self.num_anchors) for x in features]
        sizes = [math.prod(grid) for grid in grids]
        scores, labels = (x[..., None] for x in predictions.logits.max(dim=2))
        samples = torch.cat([predictions.boxes, scores, labels.float()], dim=2)
        levels = [
            x.unflatten(1, grid).permute(4, 0, 3, 1, 2).contiguous()
            for x, grid in zip(samples.split(sizes, dim=1), grids, strict=True)
        ]
        related = [_relations(level) for level in levels]
        found = [
            F.relu(self.features(feature.detach()) + self.relations(x))
            for feature, x in zip(features, related, strict=True)
        ]
        if self.filtering is not None:
            found = self.filtering(found)
        outputs = [
            self.output(feature) + self.shortcut(x)
            for feature, x in zip(found, related, strict=True)
        ]
        return torch.cat([x.permute(0, 2, 3, 1).flatten(1) for x in outputs], dim=1)


def _relations(samples: Tensor) -> Tensor:
    """(B, C, H, W): the scores, their margins, and whether they are the best of their rivals.

    Args:
        samples: (6, B, A, H, W) boxes, scores and labels.
    """
    *_, scores, labels = samples
    margins = score_margins(scores, labels, samples[:4], OVERLAPS)
    return torch.cat([scores, margins.clamp(min=FARTHEST), (margins >= 0).float()], dim=1)
