"""Assignment to the cell of the centre, with a Gaussian of lighter negatives around it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from detectron2.config import configurable
from onenet import ASSIGNER_REGISTRY, Assigner, Assignment, GroundTruth, Predictions, Priors
from onenet.assignment import Condition, Explanation
from onenet.assignment.explanation import one_sample_each
from onenet.assignment.levels import (
    ANY_SIZE,
    SizeRanges,
    check_size_ranges,
    level_slices,
    ranges_of_levels,
)
from onenet.assignment.pieces import check_max_pairs
from onenet.errors import ConfigError
from onenet.geometry import elementwise_iou_giou
from torch import Tensor

from ..settings import rule_settings
from .gaussians import (
    GaussianCells,
    distance_and_gaussian,
    explain_weights,
    lighter_negatives,
)


@ASSIGNER_REGISTRY.register()
class CenterNet(Assigner):
    """The cell of the centre is positive; the cells near to it are lighter negatives.

    1. A ground truth belongs to the level whose size range holds half of its longer side, which
       is its largest distance from a centre point to a side, as FCOS measures it. A single level
       takes them all.
    2. Its box is divided by the stride and clipped to ``[0, cells - 1]`` along each axis, where
       ``cells`` is the extent of the image without padding in cells. If no width or height is left
       it is dropped.
    3. The sample of the cell that holds the centre of the clipped box is its positive, one a
       ground truth.
    4. A Gaussian Y around that cell, cut off at a radius (:func:`gaussian_radius`), with a standard
       deviation of a sixth of the diameter, says how nearly right the cells around are. Of
       overlapping Gaussians of one class the largest counts.
    5. The class loss of a negative is scaled by ``(1 - Y)^4``, that of a pair by 1.

    Source: CenterNet (Zhou et al., "Objects as Points", 2019), section 3; xingyizhou/CenterNet
    ``ctdet.py``, ``image.py`` and ``losses.py``.

    Where a location has several anchors, the pair is the anchor that overlaps the ground truth
    most, and the others, Y = 1 themselves, train towards nothing.

    Deviations: the reference has one level only, and no padding. It divides the class loss by the
    number of distinct centre cells, here, as for MinCost, it is the number of ground truths. The
    offset and size it regresses are the box losses of the criterion here.
    """

    @configurable
    def __init__(
        self,
        *,
        size_ranges: SizeRanges = ANY_SIZE,
        min_overlap: float = 0.7,
        max_pairs: int = 0,
    ):
        """Choose the levels and the width of the Gaussians.

        Args:
            size_ranges: smallest and largest size in pixels for each level, ascending.
            min_overlap: the radius is the shift of both corners that leaves this IoU, in (0, 1).
            max_pairs: at most this many (location, ground truth) pairs are in memory at once, or
                one ground truth of each image if that is more. The result does not depend on it;
                0 = by device.

        Raises:
            ConfigError: a value out of its range.
        """
        super().__init__()
        check_size_ranges(size_ranges)
        if not 0 < min_overlap < 1:
            raise ConfigError(
                "MODEL.OneNet.ASSIGNER.CENTERNET.MIN_OVERLAP must lie between 0 and 1, "
                f"got {min_overlap}."
            )
        self.size_ranges = size_ranges
        self.min_overlap = min_overlap
        self.max_pairs = check_max_pairs(max_pairs)

    @classmethod
    def from_config(cls, cfg):
        size_ranges = cfg.MODEL.OneNet.OBJECT_SIZES_OF_INTEREST
        return {"size_ranges": size_ranges, **rule_settings(cfg, "CENTERNET")}

    @torch.no_grad()
    def forward(self, priors: Priors, predictions: Predictions, gt: GroundTruth) -> Assignment:
        if priors.shapes is None:
            raise ConfigError(
                "CenterNet looks for the cell of a centre, and the samples of this head are on no "
                "grid: choose another MODEL.OneNet.ASSIGNER.NAME."
            )
        cells = self.locate(priors, gt)
        sample = self._best_anchor(priors, gt, cells.location)
        kept = cells.kept.float()
        num_classes, locations = predictions.logits.shape[2], len(priors) // priors.anchors
        reach = self._largest_radius(max(priors.level_sizes) // priors.anchors)
        weight = lighter_negatives(cells, gt.labels, num_classes, locations, reach, self.max_pairs)
        cls_weight = weight[..., None].expand(-1, -1, -1, priors.anchors).flatten(2)
        # A pair keeps its weight also where it lies under the Gaussian of another object.
        pair = gt.labels * len(priors) + sample
        cls_weight.flatten(1).scatter_reduce_(1, pair, kept, "amax")
        slots = torch.arange(sample.shape[1], device=sample.device).expand_as(sample)
        return Assignment(
            sample=sample,
            gt=slots,
            weight=kept,
            score=torch.ones_like(kept),
            cls_weight=cls_weight.transpose(1, 2),
        )

    @torch.no_grad()
    def explain(self, priors: Priors, predictions: Predictions, gt: GroundTruth) -> Explanation:
        assignment = self(priors, predictions, gt)
        cells = self.locate(priors, gt)
        terms = distance_and_gaussian(cells, len(priors) // priors.anchors)
        distance, gaussian = (x.repeat_interleave(priors.anchors, dim=-1) for x in terms)
        weights, ignored = explain_weights(assignment, gt, gaussian)
        size = _size(gt)[..., None]
        kept = Condition("object with a width and height in the image", cells.kept[..., None])
        level = Condition("on the level for the size of the object", distance.isfinite())
        cell = Condition("the cell of the centre", distance == 0, -distance, "cells")
        anchor = one_sample_each(assignment.sample, cells.kept, len(priors))
        conditions = [kept, level, cell]
        if priors.anchors > 1:
            conditions.append(Condition("the anchor of the largest IoU in its cell", anchor))
        quantities = {
            "half of the longer side (px)": size,
            "distance from the centre (cells)": distance,
            "radius of the Gaussian (cells)": cells.radius[..., None],
            **weights,
        }
        return Explanation.of(gt, len(priors), quantities, conditions, ignored)

    def locate(self, priors: Priors, gt: GroundTruth) -> GaussianCells:
        """Steps 1 to 3: level, centre cell and radius of every ground truth."""
        first, columns, rows, stride = self._grids(priors)
        size = _size(gt)
        level = torch.zeros_like(gt.labels)
        for _, largest in ranges_of_levels(self.size_ranges, priors)[:-1]:
            level += size > largest
        columns, rows, stride = columns[level], rows[level], stride[level][..., None]

        last = (gt.image_size.flip(-1)[:, None] / stride).ceil() - 1
        low = (gt.boxes[..., :2] / stride).clamp(min=0).minimum(last)
        high = (gt.boxes[..., 2:] / stride).clamp(min=0).minimum(last)
        width, height = (high - low).unbind(-1)
        x, y = ((low + high) / 2).long().unbind(-1)
        return GaussianCells(
            x=x.minimum(columns - 1),
            y=y.minimum(rows - 1),
            radius=gaussian_radius(height.ceil(), width.ceil(), self.min_overlap).long(),
            kept=gt.valid & (width > 0) & (height > 0),
            first=first[level],
            columns=columns,
            rows=rows,
        )

    def _grids(self, priors: Priors) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """First location, columns, rows (int64) and stride of each level, (L,) each."""
        levels = level_slices(priors)
        stride = torch.stack([priors.stride[level.start] for level in levels])
        rows, columns = zip(*priors.shapes, strict=True)
        first = [level.start // priors.anchors for level in levels]
        return *(_constants(x, stride.device) for x in (first, columns, rows)), stride

    def _largest_radius(self, num_locations: int) -> int:
        """Largest :func:`gaussian_radius` on a feature map of any shape with that many cells.

        For a given area, the radius is largest for a square.
        """
        side = math.sqrt(num_locations)
        return int(2 * side * (math.sqrt(self.min_overlap) - self.min_overlap))

    def _best_anchor(self, priors: Priors, gt: GroundTruth, location: Tensor) -> Tensor:
        """(B, G) int64, the sample at each location that overlaps the ground truth most."""
        count = priors.anchors
        anchors = location[..., None] * count + torch.arange(count, device=location.device)
        if count == 1:
            return anchors[..., 0]
        iou, _ = elementwise_iou_giou(priors.boxes[anchors], gt.boxes[:, :, None])
        return anchors.gather(-1, iou.argmax(dim=-1, keepdim=True))[..., 0]


def _size(gt: GroundTruth) -> Tensor:
    """(B, G), half of the longer side in pixels."""
    return (gt.boxes[..., 2:] - gt.boxes[..., :2]).amax(dim=-1) / 2


def _constants(values: Sequence[int], device: torch.device) -> Tensor:
    """(n,) int64, made on the device: nothing is copied to it, so nothing waits."""
    return torch.cat([torch.full((1,), value, device=device) for value in values])


def gaussian_radius(height: Tensor, width: Tensor, min_overlap: float) -> Tensor:
    """How far both corners of a box may move outwards until the IoU falls to ``min_overlap``.

    This is the rule of the official code, to the bit: float64, and a division by 2 where the
    quadratic formula has ``2 a``. The code takes the least of three such roots, for corners that
    move in different directions; this one is never larger than the other two.

    Args:
        height: (...) in cells.
        width: (...) in cells.
        min_overlap: in (0, 1).

    Returns:
        (...) float64, in cells.
    """
    height, width = height.double(), width.double()
    a = 4 * min_overlap
    b = -2 * min_overlap * (height + width)
    c = (min_overlap - 1) * width * height
    return (b + (b * b - 4 * a * c).sqrt()) / 2
