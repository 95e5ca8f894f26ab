"""Class targets, also those that say how good a box is."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

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


def dense_targets(assignment: Assignment, gt: GroundTruth, logits: Tensor) -> Tensor:
    """The class target of every (sample, class): the largest score of its pairs, or 0.

    Args:
        assignment: of B images.
        gt: G padded ground truths for each of them.
        logits: (B, R, K), of which only shape, device and type count.
    """
    labels = gt.labels.gather(1, assignment.gt)
    index = assignment.sample * logits.shape[-1] + labels
    score = torch.where(assignment.positive, assignment.score, 0).to(logits.dtype)
    target = logits.new_zeros(logits.shape).flatten(1)
    return target.scatter_reduce(1, index, score, "amax").view(logits.shape)
