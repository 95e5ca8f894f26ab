"""Class targets that say how good a box is."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from ..geometry import elementwise_iou, gather_samples
from ..structures import Assignment, GroundTruth, Predictions, Priors


class IoUTargets(nn.Module):
    """Makes the IoU of a pair's boxes its class target, whichever rule paired them.

    Called like a :class:`Subsampler`. Source: Li et al., "Generalized Focal Loss", NeurIPS 2020.
    """

    @torch.no_grad()
    def forward(
        self, assignment: Assignment, priors: Priors, predictions: Predictions, gt: GroundTruth
    ) -> Assignment:
        boxes = gather_samples(predictions.boxes.float(), assignment.sample)
        iou = elementwise_iou(boxes, gather_samples(gt.boxes, assignment.gt))
        return replace(assignment, score=iou.nan_to_num(0))
