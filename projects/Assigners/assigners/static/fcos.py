"""Assignment by position and size."""

from __future__ import annotations

import torch
from detectron2.config import configurable
from onenet import ASSIGNER_REGISTRY, Assigner, Assignment, GroundTruth, Predictions, Priors
from onenet.assignment import Condition, Explanation
from onenet.assignment.levels import (
    ANY_SIZE,
    SizeRanges,
    check_size_ranges,
    level_slices,
    ranges_of_levels,
)
from onenet.assignment.pieces import check_max_pairs, piece_size
from onenet.errors import ConfigError
from onenet.geometry import box_area, box_centers, gather_samples
from torch import Tensor

from ..conflicts import contest
from ..dense import dense_assignment
from ..settings import rule_settings


@ASSIGNER_REGISTRY.register()
class FCOS(Assigner):
    """Samples inside of a ground truth are positive, on the level that is meant for its size.

    1. With centre sampling, the region of a ground truth is the square of ``radius`` strides
       around its centre, cut to the box; without, the whole box. A sample is a candidate if its
       point lies strictly inside the region.
    2. The largest of its distances to the left, top, right and bottom side must lie in the size
       range of its level, ends included.
    3. A candidate of several ground truths takes the one with the smallest area (width times
       height); of equal ones, the one with the lowest index.

    Source: FCOS (Tian et al., ICCV 2019), section 3.2; centre sampling as in AdelaiDet
    ``fcos_outputs.py``, whose areas these are (the original adds a pixel to width and height).

    A single level has one range, which holds every size: then only the area decides between
    ground truths.

    Deviations: areas are compared as they are and not packed below a large constant, where they
    lose digits. The reference assigns nothing in an image whose first ground truth has its centre
    at x = 0; here it is like any other.
    """

    @configurable
    def __init__(
        self,
        *,
        size_ranges: SizeRanges = ANY_SIZE,
        center_sampling: bool = True,
        radius: float = 1.5,
        max_pairs: int = 0,
    ):
        """Choose where a ground truth has its positives.

        Args:
            size_ranges: smallest and largest size in pixels for each level, ascending.
            center_sampling: candidates lie near the centre, not anywhere in the box.
            radius: how near, in strides of the level.
            max_pairs: at most this many (sample, ground truth) pairs are in memory at once, or one
                sample's if that is more. The result does not depend on it;
                0 = by device.

        Raises:
            ConfigError: a radius that is not positive, or size ranges that do not ascend.
        """
        super().__init__()
        check_size_ranges(size_ranges)
        if radius <= 0:
            raise ConfigError(
                f"MODEL.OneNet.ASSIGNER.FCOS.RADIUS must be positive, got {radius}; for the whole "
                "box set MODEL.OneNet.ASSIGNER.FCOS.CENTER_SAMPLING False."
            )
        self.size_ranges = size_ranges
        self.center_sampling = center_sampling
        self.radius = radius
        self.max_pairs = check_max_pairs(max_pairs)

    @classmethod
    def from_config(cls, cfg):
        size_ranges = cfg.MODEL.OneNet.OBJECT_SIZES_OF_INTEREST
        return {"size_ranges": size_ranges, **rule_settings(cfg, "FCOS")}

    @torch.no_grad()
    def forward(self, priors: Priors, predictions: Predictions, gt: GroundTruth) -> Assignment:
        # In ascending order of area, the first ground truth that fits is the one to take.
        order = box_area(gt.boxes).argsort(dim=1, stable=True)
        boxes, valid = gather_samples(gt.boxes, order), gt.valid.gather(1, order)
        slots = order.shape[1]
        priority = torch.arange(slots, 0, -1, device=order.device) * valid
        best = [
            self._highest_priority(points, stride, size_range, boxes, priority.float())
            for points, stride, size_range in self._pieces(priors, order.numel())
        ]
        best = torch.cat(best, dim=1).long()
        gt_index = order.gather(1, (slots - best).clamp(max=slots - 1))
        return dense_assignment(gt_index, best > 0)

    @torch.no_grad()
    def explain(self, priors: Priors, predictions: Predictions, gt: GroundTruth) -> Explanation:
        parts = self._pieces(priors, gt.valid.numel())
        measured = [self._size_and_depth(*part, gt.boxes) for *part, _ in parts]
        size, depth = (torch.cat(values, dim=-1) for values in zip(*measured, strict=True))
        ranges = ranges_of_levels(self.size_ranges, priors)
        low, high = size.new_tensor(ranges)[priors.level].unbind(-1)
        area = box_area(gt.boxes)[..., None].expand_as(size)
        inside, fits = depth > 0, (size >= low) & (size <= high)
        wanted = inside & fits & gt.valid[..., None]
        quantities = {
            "depth in the region (px)": depth,
            "largest distance to a side (px)": size,
            "smallest of the level (px)": low,
            "largest of the level (px)": high,
            "area of the object (px²)": area,
        }
        region = "centre region" if self.center_sampling else "box"
        conditions = [
            Condition(f"inside the {region}", inside, depth, "px"),
            Condition(
                "of a size for the level", fits, torch.minimum(size - low, high - size), "px"
            ),
            contest("the smallest object that fits", -area, wanted, "px²"),
        ]
        return Explanation.of(gt, len(priors), quantities, conditions)

    def _pieces(self, priors: Priors, num_gt: int):
        """Points (r, 2), stride () and size range of samples of one level."""
        step = piece_size(self.max_pairs, num_gt, priors.points.device)
        ranges = ranges_of_levels(self.size_ranges, priors)
        for level, size_range in zip(level_slices(priors), ranges, strict=True):
            for points in priors.points[level].split(step):
                yield points, priors.stride[level.start], size_range

    def _highest_priority(self, points, stride, size_range, boxes, priority) -> Tensor:
        """(B, r), the highest ``priority`` (B, G) among the ground truths that fit, 0 if none."""
        largest, depth = self._size_and_depth(points, stride, boxes)
        # Comparisons in place stay float, which is much faster on a CPU than masks are.
        fits = largest.eq_(largest.clamp(*size_range)).mul_(depth.gt_(0))
        return fits.mul_(priority[..., None]).amax(dim=1)

    def _size_and_depth(self, points, stride, boxes) -> tuple[Tensor, Tensor]:
        """What steps 2 and 1 compare, in pixels, each (B, G, r).

        Returns:
            The largest distance to a side of the ground truth, and how far the point lies inside of
            its region.
        """
        sides = _distances(points, boxes)
        largest = torch.maximum(torch.maximum(*sides[:2]), torch.maximum(*sides[2:]))
        if self.center_sampling:
            reach, center = self.radius * stride, box_centers(boxes)
            low = torch.maximum(center - reach, boxes[..., :2])
            high = torch.minimum(center + reach, boxes[..., 2:])
            sides = _distances(points, torch.cat([low, high], dim=-1))
        depth = torch.minimum(torch.minimum(*sides[:2]), torch.minimum(*sides[2:]))
        return largest, depth


def _distances(points: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Left, top, right, bottom: signed distances of points (r, 2) to boxes (B, G, 4), (B, G, r)."""
    x, y = points.t().contiguous()
    x1, y1, x2, y2 = (side[..., None] for side in boxes.unbind(-1))
    return x - x1, y - y1, x2 - x, y2 - y
