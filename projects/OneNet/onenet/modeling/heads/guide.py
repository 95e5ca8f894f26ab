"""Anchors that are predicted from the image, one a location."""

from __future__ import annotations

import math

import fvcore.nn.weight_init as weight_init
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import DeformConv2d

from ...geometry import box_centers
from ...structures import GuidedAnchors, Priors
from .init import OUTPUT_STD, init_scores
from .priors import concat_levels

KERNEL = 3
OFFSET_GROUPS = 4  # of channels that are moved together
OFFSET_STD = 0.1
SHAPE_STD = 0.14  # what is predicted is the logarithm of the scale in units of this
MAX_LOG_SCALE = math.log(1e6)
PRIOR_PROB = 0.01  # initial score of every location
MIN_SCORE = 0.01  # of a location that may have an object, in inference


class AnchorGuide(nn.Module):
    """Tells where objects are and what shape they have there, and adapts the features to that.

    On the class tower a convolution tells the location, on the box tower another one the scale of
    width and height against the prior box. What stands in the towers then passes a deformable
    convolution each, whose offsets come from the shape. No gradient goes back through these
    offsets, nor through the boxes that are predicted from the anchors: location and shape learn
    from losses of their own. Source: Guided Anchoring (Wang et al., CVPR 2019), sections 3.1 to
    3.4, with the numbers of mmdetection.
    """

    def __init__(self, channels: int):
        """
        Args:
            channels: of both towers.
        """
        super().__init__()
        self.location = nn.Conv2d(channels, 1, 1)
        self.shape = nn.Conv2d(channels, 2, 1)
        self.adapt_classes = FeatureAdaption(channels)
        self.adapt_boxes = FeatureAdaption(channels)
        for conv in (self.location, self.shape):
            nn.init.normal_(conv.weight, std=OUTPUT_STD)
            nn.init.zeros_(conv.bias)
        init_scores(self.location, PRIOR_PROB)

    def forward(
        self, class_towers: list[Tensor], box_towers: list[Tensor], priors: Priors
    ) -> tuple[tuple[list[Tensor], list[Tensor]], GuidedAnchors]:
        """Anchors, and what the output layers see.

        Args:
            class_towers, box_towers: (B, C, H, W) of each level.
            priors: R samples, one a location.

        Returns:
            Both towers, adapted, and the anchors.
        """
        location = [self.location(x) for x in class_towers]
        shapes = [self.shape(x) for x in box_towers]
        towers = (
            [self.adapt_classes(*pair) for pair in zip(class_towers, shapes, strict=True)],
            [self.adapt_boxes(*pair) for pair in zip(box_towers, shapes, strict=True)],
        )
        shape = concat_levels(shapes, 2).transpose(1, 2).float()
        boxes = scaled_boxes(priors.boxes, shape * SHAPE_STD)
        return towers, GuidedAnchors(concat_levels(location, 1)[:, 0], boxes)


class FeatureAdaption(nn.Module):
    """A deformable convolution that looks where the anchor of each location lies."""

    def __init__(self, channels: int):
        """
        Args:
            channels: of the features.
        """
        super().__init__()
        groups = math.gcd(OFFSET_GROUPS, channels)
        self.offset = nn.Conv2d(2, groups * 2 * KERNEL**2, 1, bias=False)
        self.conv = DeformConv2d(channels, channels, KERNEL, padding=KERNEL // 2, bias=False)
        nn.init.normal_(self.offset.weight, std=OFFSET_STD)
        weight_init.c2_msra_fill(self.conv)

    def forward(self, feature: Tensor, shape: Tensor) -> Tensor:
        """(B, C, H, W) with shapes (B, 2, H, W) -> (B, C, H, W)."""
        return F.relu(self.conv(feature, self.offset(shape.detach())))


def scaled_boxes(boxes: Tensor, log_scale: Tensor) -> Tensor:
    """Boxes of the same centres with scaled sides.

    Args:
        boxes: (R, 4).
        log_scale: (B, R, 2) logarithm of the scale of width and height, at most a million.

    Returns:
        (B, R, 4).
    """
    half = (boxes[:, 2:] - boxes[:, :2]) / 2
    half = half * log_scale.clamp(-MAX_LOG_SCALE, MAX_LOG_SCALE).exp()
    center = box_centers(boxes)
    return torch.cat([center - half, center + half], dim=-1)


def without_background(logits: Tensor, anchors: GuidedAnchors) -> Tensor:
    """Class logits (B, R, K) without a score where the location says that nothing is there."""
    nothing = anchors.location.sigmoid() < MIN_SCORE
    return logits.masked_fill(nothing[..., None], torch.finfo(logits.dtype).min)
