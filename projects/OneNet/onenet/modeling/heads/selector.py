"""The positive sample selector: which of the good samples of an object keeps its score."""

from __future__ import annotations

import fvcore.nn.weight_init as weight_init
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...scores import joint_logit
from ...structures import Predictions
from .max_filtering import MaxFiltering

NEIGHBOURHOODS = (3, 5)  # cells across, in which a score is compared with the others


class Selector(nn.Module):
    """Predicts one selection logit a sample from what the rest of the head has found.

    The score of a detection is sigmoid(class) * sigmoid(selection), so that one-to-one training of
    the product trains a substitute for NMS, while classes and boxes learn from many samples of an
    object. No gradient leaves this module. Source: Zhou et al., "Object Detection Made Simpler by
    Eliminating Heuristic NMS", 2021; new here is that it sees how far a class score is below the
    best ones nearby.
    """

    def __init__(
        self,
        channels: int,
        num_anchors: int = 1,
        num_convs: int = 2,
        max_filtering: bool = False,
    ):
        """
        Args:
            channels: of the feature maps.
            num_anchors: samples a location.
            num_convs: 3x3 convolutions on each level before the output, at least 1.
            max_filtering: after them, compare the features of neighbours, also between levels.
        """
        super().__init__()
        self.num_anchors = num_anchors
        width = channels + num_anchors * (1 + len(NEIGHBOURHOODS))
        layers: list[nn.Module] = []
        for _ in range(num_convs):
            layers += [nn.Conv2d(width, channels, 3, padding=1), nn.ReLU(inplace=True)]
            weight_init.c2_msra_fill(layers[-2])
            width = channels
        self.tower = nn.Sequential(*layers)
        self.filtering = MaxFiltering(channels) if max_filtering else None
        self.output = nn.Conv2d(width, num_anchors, 3, padding=1)
        nn.init.normal_(self.output.weight, std=0.01)
        nn.init.zeros_(self.output.bias)

    def forward(self, features: list[Tensor], logits: list[Tensor]) -> list[Tensor]:
        """Selection logits (B, A, H, W) of each level.

        Args:
            features: (B, C, H, W) of each level, finest first.
            logits: (B, A * K, H, W) of the classes.
        """
        found = [self.tower(self._seen(*level)) for level in zip(features, logits, strict=True)]
        if self.filtering is not None:
            found = self.filtering(found)
        return [self.output(x) for x in found]

    def _seen(self, feature: Tensor, logits: Tensor) -> Tensor:
        best = logits.detach().float().unflatten(1, (self.num_anchors, -1)).amax(dim=2)
        highest = [F.max_pool2d(best, k, stride=1, padding=k // 2) for k in NEIGHBOURHOODS]
        return torch.cat([feature.detach(), best, *(best - x for x in highest)], dim=1)


def select(predictions: Predictions, selection: Tensor) -> Predictions:
    """Predictions whose quality is the selection, times theirs; with no gradient but that of it.

    Args:
        predictions: of R samples.
        selection: (B, R) logits.
    """
    predictions = predictions.detach()
    if predictions.quality is not None:
        selection = joint_logit(predictions.quality, selection)
    return Predictions(predictions.logits, predictions.boxes, selection)
