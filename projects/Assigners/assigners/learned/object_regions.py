"""Where objects are, for a branch that learns to tell it: their middles, on the level they suit."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from onenet import GroundTruth, Priors
from onenet.assignment.levels import level_slices
from onenet.assignment.pieces import check_max_pairs, piece_size
from onenet.errors import ConfigError, choose
from onenet.geometry import box_area
from torch import Tensor

CONFLICTS = ("center", "last")


@dataclass(frozen=True)
class ObjectRegions:
    """Which cells are the middle of an object.

    1. An object is on the level whose prior boxes are nearest to the square root of its area, by
       the logarithm.
    2. Shrunk to ``ignore_ratio`` of its sides, and to ``center_ratio``, it covers cells of a level:
       coordinates are divided by the stride and rounded, half to even; both ends belong to it.
    3. On its own level the centre region is positive and the rest of the ignore region is ignored;
       so is the ignore region on the levels below and above. All other cells are negative.

    Where a centre region meets the ignore region of another object, it stays positive; in the
    reference, and here with ``conflicts="last"``, the object that comes later decides.

    Source: Guided Anchoring (Wang et al., CVPR 2019), section 3.2; rounding and levels as in
    mmdetection's ``ga_loc_targets``.

    Attributes:
        center_ratio, ignore_ratio: sides of the regions in sides of the object.
        conflicts: "center" or "last".
        max_pairs: at most this many (cell, ground truth) pairs are in memory at once, or one
            ground truth of each image if that is more. The result does not depend on it;
            0 = by device.
    """

    center_ratio: float = 0.2
    ignore_ratio: float = 0.5
    conflicts: str = "center"
    max_pairs: int = 0

    def __post_init__(self):
        section = "MODEL.OneNet.ASSIGNER.GUIDED_ANCHORING"
        if not 0 <= self.center_ratio <= self.ignore_ratio <= 1:
            raise ConfigError(
                f"{section} needs 0 <= CENTER_RATIO <= IGNORE_RATIO <= 1, got CENTER_RATIO "
                f"{self.center_ratio} and IGNORE_RATIO {self.ignore_ratio}."
            )
        choose(f"{section}.CONFLICTS", self.conflicts, CONFLICTS)
        check_max_pairs(self.max_pairs)

    @torch.no_grad()
    def __call__(self, priors: Priors, gt: GroundTruth) -> tuple[Tensor, Tensor]:
        """Positive and negative samples.

        Args:
            priors: R samples, one a cell.
            gt: G padded ground truths for each of B images.

        Returns:
            (B, R) bool each; what is neither is ignored.
        """
        own = self.levels(priors, gt)
        ranks = []
        for level, cells in enumerate(level_slices(priors)):
            stride = priors.stride[cells.start]
            distance = (own - level).abs().masked_fill(~gt.valid, len(priors.level_sizes) + 1)
            ranks.append(self._ranks(gt.boxes / stride, distance, priors.shapes[level]))
        rank = torch.cat(ranks, dim=1)
        return (rank > 1) & (rank % 2 == 1), rank == 0

    def levels(self, priors: Priors, gt: GroundTruth) -> Tensor:
        """Step 1: (B, G) int64."""
        first = [level.start for level in level_slices(priors)]
        side = torch.stack([priors.boxes[i, 2] - priors.boxes[i, 0] for i in first])
        # The geometric mean of two sides is half way by the logarithm.
        larger = box_area(gt.boxes)[..., None] >= side[1:] * side[:-1]
        return larger.sum(dim=-1)

    def _ranks(self, boxes: Tensor, distance: Tensor, shape: tuple[int, int]) -> Tensor:
        """Steps 2 and 3 on a level.

        Args:
            boxes: (B, G, 4) in cells.
            distance: (B, G) int64, of the object's level from this one.
            shape: height and width in cells.

        Returns:
            (B, H * W) float32: 0 in no region; 1 ignored for an object of another level; else of
            the object that decides, an even number in its ignore and an odd one in its centre
            region.
        """
        batch, slots = distance.shape
        order = torch.arange(slots, device=boxes.device) if self.conflicts == "last" else 0
        ignored = (distance == 1) + (distance == 0) * 2.0 * (order + 1)
        central = (distance == 0).float()
        rank = boxes.new_zeros(batch, *shape)
        step = piece_size(self.max_pairs, rank.numel(), boxes.device)
        for parts in zip(*(x.split(step, 1) for x in (boxes, ignored, central)), strict=True):
            part, ignored_part, central_part = parts
            value = covered(part, self.ignore_ratio, shape) * ignored_part[..., None, None]
            value += covered(part, self.center_ratio, shape) * central_part[..., None, None]
            rank = torch.maximum(rank, value.amax(dim=1))
        return rank.flatten(1)


def covered(boxes: Tensor, ratio: float, shape: tuple[int, int]) -> Tensor:
    """Which cells of a level the shrunk boxes cover.

    As in the reference, what lies left of or above the level covers its first cells, what lies
    right of or below it none.

    Args:
        boxes: (B, G, 4) in cells.
        ratio: sides of the shrunk boxes in sides of the boxes.
        shape: height and width in cells.

    Returns:
        (B, G, H, W) bool.
    """
    margin = (1 - ratio) / 2
    low, high = boxes.chunk(2, dim=-1)
    first = ((1 - margin) * low + margin * high).round().clamp(min=0)
    last = (margin * low + (1 - margin) * high).round().clamp(min=0)

    def along(axis: int, cells: int) -> Tensor:
        cell = torch.arange(cells, device=boxes.device)
        return (cell >= first[..., axis, None]) & (cell <= last[..., axis, None])

    return along(1, shape[0])[..., None] & along(0, shape[1])[..., None, :]
