"""YOLOv3: the cell of the centre, and the anchor of the best shape."""

from __future__ import annotations

import torch
from detectron2.config import configurable
from onenet import ASSIGNER_REGISTRY, Assigner, Assignment, GroundTruth, Predictions, Priors
from onenet.assignment import Condition, Explanation
from onenet.assignment.levels import level_slices
from onenet.assignment.overlaps import largest_iou, pairwise_iou
from onenet.assignment.pieces import check_max_pairs
from onenet.errors import ConfigError
from onenet.geometry import MIN_AREA, box_area
from torch import Tensor

from ..settings import rule_settings
from ..static.cells import center_cells
from ..static.grid_max_iou import GridMaxIoU

PRESETS = {
    "darknet": {"grid": False, "ignore_iou": 0.7},
    "mmdet": {"grid": True, "ignore_iou": 0.5},
}


@ASSIGNER_REGISTRY.register()
class YOLOv3(Assigner):
    """One anchor an object: that of the best shape, in the cell that holds the centre.

    1. Of the anchors of all levels (nine in YOLOv3) the one of the best IoU of width and height
       alone is positive, in the cell of its level that holds the centre of the object (or is
       nearest to it); of equal ones the first.
    2. Other samples are ignored where their predicted box has an IoU above ``ignore_iou`` with any
       object, and negative elsewhere.
    3. Box losses have the weight ``2 - area / image area``, so that small objects count more.

    Two objects may have the same anchor and cell, which is then positive for both. In the reference
    it has the classes of both, and the box of the later one.

    The preset ``mmdet`` is another rule, :class:`GridMaxIoU`: it ignores where the prior box
    overlaps an object. Source: YOLOv3 (Redmon and Farhadi, 2018), section 2, with Darknet's
    numbers. Its quality branch tells objectness, and classes learn at the positives alone.
    """

    quality_target = "objectness"

    @configurable
    def __init__(self, *, grid: bool = False, ignore_iou: float = 0.7, max_pairs: int = 0):
        """
        Args:
            grid: use :class:`GridMaxIoU`, with ``ignore_iou`` as its threshold.
            ignore_iou: in [0, 1).
            max_pairs: at most this many (sample, ground truth) pairs are in memory at once. The
                result does not depend on it; 0 = by device.

        Raises:
            ConfigError: a threshold out of its range.
        """
        super().__init__()
        if not 0 <= ignore_iou < 1:
            raise ConfigError(
                f"MODEL.OneNet.ASSIGNER.YOLOV3.IGNORE_IOU must be in [0, 1), got {ignore_iou}."
            )
        self.grid = GridMaxIoU(ignore_iou, max_pairs) if grid else None
        self.ignore_iou = ignore_iou
        self.max_pairs = check_max_pairs(max_pairs)

    @classmethod
    def from_config(cls, cfg):
        if cfg.MODEL.OneNet.HEAD != "RetinaNet":
            raise ConfigError(
                "YOLOv3 chooses among the shapes of anchors, and the "
                f'"{cfg.MODEL.OneNet.HEAD}" head has one square a location: set '
                "MODEL.OneNet.HEAD RetinaNet."
            )
        return rule_settings(cfg, "YOLOV3", PRESETS)

    @torch.no_grad()
    def forward(self, priors: Priors, predictions: Predictions, gt: GroundTruth) -> Assignment:
        if self.grid is not None:
            return self.grid(priors, predictions, gt)
        sample = responsible_anchor(priors, gt)
        weight = self._box_weight(gt)
        assignment = Assignment(
            sample=sample,
            gt=torch.arange(sample.shape[1], device=sample.device).expand_as(sample),
            weight=weight,
            score=torch.ones_like(weight),
            num_samples=len(priors),
        )
        overlap = largest_iou(predictions.boxes.float(), gt, self.max_pairs)
        return assignment.keep((overlap <= self.ignore_iou) | assignment.positive_samples())

    @torch.no_grad()
    def explain(self, priors: Priors, predictions: Predictions, gt: GroundTruth) -> Explanation:
        if self.grid is not None:
            return self.grid.explain(priors, predictions, gt)
        number = torch.arange(len(priors), device=gt.boxes.device)
        shape = priors.level * priors.anchors + number % priors.anchors
        shapes, cell = shape_iou(priors, gt), center_cells(priors, gt)[..., priors.level]
        overlap = pairwise_iou(predictions.boxes.float(), gt)
        margin = shapes[..., shape] - shapes.amax(dim=-1, keepdim=True)
        conditions = [
            Condition(
                "in the cell of the centre", (number >= cell) & (number < cell + priors.anchors)
            ),
            Condition(
                "the anchor of the best shape", shape == shapes.argmax(-1, keepdim=True), margin
            ),
        ]
        ignored = Condition(
            f"predicted box of an IoU above {self.ignore_iou:g} with an object",
            overlap > self.ignore_iou,
            overlap - self.ignore_iou,
        )
        quantities = {
            "IoU of the shape": shapes[..., shape],
            "IoU of the predicted box": overlap,
            "weight of the box losses": self._box_weight(gt)[..., None],
        }
        return Explanation.of(gt, len(priors), quantities, conditions, [ignored])

    def _box_weight(self, gt: GroundTruth) -> Tensor:
        """Step 3: (B, G)."""
        height, width = gt.image_size[:, None].unbind(-1)
        part = (box_area(gt.boxes) / (height * width)).clamp(max=1)
        return (2 - part) * gt.valid


def responsible_anchor(priors: Priors, gt: GroundTruth) -> Tensor:
    """Step 1: (B, G) int64, the positive sample of each ground truth."""
    best = shape_iou(priors, gt).argmax(dim=-1, keepdim=True)
    level = best.div(priors.anchors, rounding_mode="floor")
    return (center_cells(priors, gt).gather(-1, level) + best % priors.anchors)[..., 0]


def shape_iou(priors: Priors, gt: GroundTruth) -> Tensor:
    """(B, G, levels * anchors), IoU of the width and height alone with each anchor of a cell."""
    shapes = torch.cat([priors.boxes[level][: priors.anchors] for level in level_slices(priors)])
    size = gt.boxes[..., None, 2:] - gt.boxes[..., None, :2]
    shape = shapes[:, 2:] - shapes[:, :2]
    width, height = torch.minimum(size, shape).unbind(-1)
    union = box_area(gt.boxes)[..., None] + box_area(shapes) - width * height
    return width * height / union.clamp(min=MIN_AREA)
