"""What assigners know about feature levels."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..errors import ConfigError
from ..structures import Priors

SizeRanges = Sequence[Sequence[float]]

# A single level takes ground truths of every size.
ANY_SIZE: SizeRanges = ((-1.0, math.inf),)


def level_slices(priors: Priors) -> list[slice]:
    """Which samples belong to each level."""
    slices, start = [], 0
    for size in priors.level_sizes:
        slices.append(slice(start, start + size))
        start += size
    return slices


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


def ranges_of_levels(ranges: SizeRanges, priors: Priors) -> SizeRanges:
    """The size range of each level; a single level has every size, whatever a pyramid would have.

    Raises:
        ConfigError: there are several levels, and not as many ranges.
    """
    levels = len(priors.level_sizes)
    if len(ranges) == levels:
        return ranges
    if levels == 1:
        return ANY_SIZE
    raise ConfigError(
        f"MODEL.OneNet.OBJECT_SIZES_OF_INTEREST has {len(ranges)} size ranges, the head {levels} "
        "levels (MODEL.OneNet.IN_FEATURES): give each level one range."
    )
