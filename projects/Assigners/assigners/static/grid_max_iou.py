"""The grid rule of mmdetection's YOLOv3."""

from __future__ import annotations

import torch
from onenet import Assignment, GroundTruth, Predictions, Priors
from onenet.assignment import Condition, Explanation
from onenet.assignment.overlaps import PairwiseIoU, largest_iou, pairwise_iou
from torch import Tensor

from .cells import center_cells
from .max_iou import MaxIoU


class GridMaxIoU(MaxIoU):
    """:class:`MaxIoU` among the anchors of the cells that hold a centre.

    1. Anchors of a cell that holds the centre of any object are responsible, also for others.
    2. A responsible anchor of an IoU above ``iou`` is positive for the object that it overlaps
       most. Then, objects in order, each takes its best responsible anchors.
    3. All else is ignored where the prior box has an IoU above ``iou`` with an object, and
       otherwise negative.

    Source: mmdetection, ``GridAssigner``.
    """

    def __init__(self, iou: float, max_pairs: int = 0):
        """
        Args:
            iou: threshold in [0, 1).
            max_pairs: as for :class:`MaxIoU`.
        """
        above = torch.nextafter(torch.tensor(iou), torch.tensor(1.0)).item()
        touching = torch.finfo(torch.float32).tiny
        super().__init__(pos_iou=above, neg_iou=above, min_pos_iou=touching, max_pairs=max_pairs)
        self.iou = iou

    @torch.no_grad()
    def forward(self, priors: Priors, predictions: Predictions, gt: GroundTruth) -> Assignment:
        assignment = super().forward(priors, predictions, gt)
        overlapping = largest_iou(priors.boxes[None], gt, self.max_pairs) > self.iou
        return assignment.keep(~overlapping | assignment.positive_samples())

    @torch.no_grad()
    def explain(self, priors: Priors, predictions: Predictions, gt: GroundTruth) -> Explanation:
        explanation = super().explain(priors, predictions, gt)
        responsible = self.overlaps(priors, gt).responsible > 0
        iou = pairwise_iou(priors.boxes[None], gt)
        overlapping = Condition(
            f"prior box of an IoU above {self.iou:g} with an object", iou > self.iou, iou - self.iou
        )
        return Explanation.of(
            gt,
            len(priors),
            {"IoU of the prior box": iou, **explanation.quantities},
            [Condition("in a cell that holds a centre", responsible), *explanation.conditions],
            [overlapping],
        )

    def overlaps(self, priors: Priors, gt: GroundTruth) -> PairwiseIoU:
        return ResponsibleIoU(priors, gt, self.max_pairs)


class ResponsibleIoU(PairwiseIoU):
    """The same, and 0 for anchors that are not responsible."""

    def __init__(self, priors: Priors, gt: GroundTruth, max_pairs: int):
        """Find them.

        Args:
            priors, gt, max_pairs: as for :class:`PairwiseIoU` and :func:`center_cells`.
        """
        super().__init__(priors.boxes, gt, max_pairs)
        anchor = torch.arange(priors.anchors, device=priors.boxes.device)
        cells = center_cells(priors, gt)[..., None] + anchor
        holds = gt.valid[..., None, None].expand_as(cells).flatten(1).float()
        cells = cells.flatten(1)
        nothing = holds.new_zeros(len(holds), 1, len(priors))
        self.responsible = nothing.scatter_reduce(2, cells[:, None], holds[:, None], "amax")

    def piece(self, part: slice, memory: Tensor) -> tuple[Tensor, Tensor]:
        iou, scratch = super().piece(part, memory)
        return iou.mul_(self.responsible[..., part]), scratch
