"""What the assigners know about feature levels."""

from __future__ import annotations

import math
from collections.abc import Sequence

from detectron2.config import CfgNode
from onenet import Priors
from onenet.errors import ConfigError

SizeRanges = Sequence[Sequence[float]]

# The one head without a feature pyramid, by its name in the official configs.
SINGLE_LEVEL_HEAD = "CenterNet"
# The one head with several priors a location.
ANCHOR_HEAD = "RetinaNet"
# A single level takes ground truths of every size.
ANY_SIZE: SizeRanges = ((-1.0, math.inf),)


def level_slices(priors: Priors) -> list[slice]:
    """Which samples belong to each level."""
    slices, start = [], 0
    for size in priors.level_sizes:
        slices.append(slice(start, start + size))
        start += size
    return slices


def size_ranges_from_config(cfg: CfgNode) -> SizeRanges:
    """The size range of each level of the selected head, in pixels.

    Raises:
        ConfigError: the pyramid has more or fewer levels than there are ranges.
    """
    onenet = cfg.MODEL.OneNet
    if onenet.HEAD == SINGLE_LEVEL_HEAD:
        return ANY_SIZE
    ranges, features = onenet.OBJECT_SIZES_OF_INTEREST, onenet.IN_FEATURES
    if len(ranges) != len(features):
        raise ConfigError(
            f"MODEL.OneNet.OBJECT_SIZES_OF_INTEREST has {len(ranges)} size ranges, "
            f"MODEL.OneNet.IN_FEATURES {len(features)} levels: give each level one range."
        )
    return ranges


def anchors_per_location_from_config(cfg: CfgNode) -> int:
    """How many priors of the selected head share a centre."""
    if cfg.MODEL.OneNet.HEAD != ANCHOR_HEAD:
        return 1
    anchors = cfg.MODEL.ANCHOR_GENERATOR
    return len(anchors.SIZES[0]) * len(anchors.ASPECT_RATIOS[0])


def check_size_ranges(ranges: SizeRanges) -> None:
    """Refuse ranges that are empty or do not ascend; they may overlap.

    Raises:
        ConfigError: with the first range that is out of order.
    """
    if not ranges:
        raise ConfigError("size_ranges must have one (smallest, largest) a level, got none.")
    last = (-math.inf, -math.inf)
    for low, high in ranges:
        if not (low < high and last[0] <= low and last[1] < high):
            raise ConfigError(
                f"size_ranges must ascend from the finest level to the coarsest, ({low}, {high}) "
                "does not."
            )
        last = low, high


def check_levels(ranges: SizeRanges, priors: Priors) -> None:
    """Refuse priors whose number of levels is not the number of size ranges.

    Raises:
        ConfigError: they differ.
    """
    levels = len(priors.level_sizes)
    if len(ranges) != levels:
        raise ConfigError(
            f"{len(ranges)} size ranges need as many levels, the head has {levels}: use a head of "
            f"{len(ranges)} levels, or give one range a level (one level: -1 to inf)."
        )
