"""What an assignment did in one step, in a handful of numbers."""

from __future__ import annotations

import torch
from torch import Tensor

from ..geometry import elementwise_iou_giou, encode_ltrb, gather_samples
from ..structures import Assignment, GroundTruth, Predictions, Priors


@torch.no_grad()
def assignment_statistics(
    priors: Priors, predictions: Predictions, gt: GroundTruth, assignment: Assignment
) -> dict[str, Tensor]:
    """Describe an assignment; the same numbers for every assigner.

    Returns:
        Scalars () on the device of the predictions, not synchronised:

        - ``positives_per_gt``: used slots per ground truth.
        - ``positives_per_gt_level<i>``: the same, of the samples of level i (several levels only).
        - ``gt_without_positive``: fraction of the ground truths.
        - ``shared_samples``: fraction of the positive samples that serve several ground truths.
        - ``positives_outside``: fraction of the pairs whose sample does not lie strictly inside of
          the ground truth.
        - ``positive_iou``: mean IoU of the predicted and the true box over the pairs.
        - ``positive_score``: mean score of the true class over the pairs.
    """
    used = assignment.positive
    pairs, objects = used.sum().clamp(min=1), gt.valid.sum().clamp(min=1)
    per_gt = _count(assignment.gt, used, gt.valid.shape[1])
    per_sample = _count(assignment.sample, used, len(priors))
    level = priors.level[assignment.sample]
    levels = range(len(priors.level_sizes)) if len(priors.level_sizes) > 1 else ()
    boxes = gather_samples(gt.boxes, assignment.gt)
    inside = encode_ltrb(priors.points[assignment.sample], boxes).amin(dim=-1) > 0
    iou, score = pair_quality(predictions, gt, assignment)
    return {
        "positives_per_gt": used.sum() / objects,
        **{f"positives_per_gt_level{i}": (used & (level == i)).sum() / objects for i in levels},
        "gt_without_positive": ((per_gt == 0) & gt.valid).sum() / objects,
        "shared_samples": (per_sample > 1).sum() / (per_sample > 0).sum().clamp(min=1),
        "positives_outside": (used & ~inside).sum() / pairs,
        "positive_iou": iou.masked_fill(~used, 0).sum() / pairs,
        "positive_score": score.masked_fill(~used, 0).sum() / pairs,
    }


def pair_quality(
    predictions: Predictions, gt: GroundTruth, assignment: Assignment
) -> tuple[Tensor, Tensor]:
    """How right the network is at the sample of each pair, used or not.

    Returns:
        IoU of the predicted and the true box, and score of the true class, each (B, P) in [0, 1].
    """
    boxes = gather_samples(predictions.boxes.float(), assignment.sample)
    iou, _ = elementwise_iou_giou(boxes, gather_samples(gt.boxes, assignment.gt))
    image = torch.arange(len(boxes), device=boxes.device)[:, None]
    labels = gt.labels.gather(1, assignment.gt)
    return iou, predictions.logits[image, assignment.sample, labels].float().sigmoid()


def _count(index: Tensor, used: Tensor, size: int) -> Tensor:
    """How many used slots of each image point at each of ``size`` targets, (B, size)."""
    counts = index.new_zeros(len(index), size)
    return counts.scatter_add(1, index, used.long())
