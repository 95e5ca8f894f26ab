"""Which objects a detector loses without NMS, which it loses with NMS, and why.

The scores of the two are not on one scale where one of them has a selector. So a score is told by
its rank: how many false detections (those counted for no object) of the whole dataset are above.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from detectron2.structures import Boxes, Instances, pairwise_iou
from torch import Tensor
from torch.nn.functional import pad

from .diagnosis import MISSED, Matches, count_detections, match_detections, merge_matches
from .operating_point import best_f1_threshold

OVERLAP_IOU = 0.2


class Comparison(NamedTuple):
    """What became of the G objects of an image or of many, without and with NMS.

    Attributes:
        without: what the detections without NMS found.
        with_nms: what NMS left.
        before: (G,) float64, highest score that NMS was offered for each object.
        overlapping: (G,) bool, objects that another one, of any class, overlaps by more than
            :data:`OVERLAP_IOU`.
    """

    without: Matches
    with_nms: Matches
    before: Tensor
    overlapping: Tensor


def compare_image(
    without: Instances,
    with_nms: Instances,
    candidates: Instances,
    gt_boxes: Tensor,
    gt_classes: Tensor,
) -> Comparison:
    """Match the detections of an image to its objects.

    Args:
        without: detections without NMS.
        with_nms: what NMS left of the candidates.
        candidates: what NMS was offered.
        gt_boxes: (G, 4) x1 y1 x2 y2, pixels.
        gt_classes: (G,) int64.
    """
    overlap = pairwise_iou(Boxes(gt_boxes), Boxes(gt_boxes)).fill_diagonal_(0)
    return Comparison(
        _match(without, gt_boxes, gt_classes),
        _match(with_nms, gt_boxes, gt_classes),
        _best_scores(candidates, gt_boxes, gt_classes),
        (overlap > OVERLAP_IOU).any(dim=1),
    )


def _match(found: Instances, gt_boxes: Tensor, gt_classes: Tensor) -> Matches:
    boxes = found.pred_boxes.tensor.float()
    return match_detections(boxes, found.scores, found.pred_classes, gt_boxes, gt_classes)


def _best_scores(found: Instances, gt_boxes: Tensor, gt_classes: Tensor) -> Tensor:
    boxes = found.pred_boxes.tensor.float()
    _, counted = count_detections(boxes, found.pred_classes, gt_boxes, gt_classes)
    scores = torch.where(counted, found.scores.double(), MISSED)
    return pad(scores, (0, 1), value=MISSED).amax(dim=1)


def merge_comparisons(parts: Sequence[Comparison]) -> Comparison:
    """Pool the objects of several images."""
    none = torch.zeros(0, dtype=torch.float64)
    return Comparison(
        merge_matches(part.without for part in parts),
        merge_matches(part.with_nms for part in parts),
        torch.cat([none, *(part.before for part in parts)]),
        torch.cat([none.bool(), *(part.overlapping for part in parts)]),
    )


def compare_objects(pool: Comparison) -> dict[str, dict[str, float]]:
    """Count the objects that each detector has lost, of all and of those that overlap another.

    Args:
        pool: of the dataset.

    Returns:
        ``objects`` (without NMS) and ``objects_nms``, each with percentages by name, as
        ``docs/evaluation.md`` defines them; those of overlapping objects end with "-overlapping".
        ``objects`` also has ``overlapping``, their percentage, and ``false_detections``, at which
        both detectors are looked at. A percentage of nothing is NaN.
    """
    without, with_nms = pool.without, pool.with_nms
    threshold, _ = best_f1_threshold(with_nms)
    limit = int((with_nms.false > threshold).sum())
    outcomes = {
        "objects": _outcomes(without, with_nms, limit),
        "objects_nms": _outcomes(with_nms, without, limit),
    }
    lost = outcomes["objects_nms"]["missed"]
    outcomes["objects_nms"]["deleted"] = lost & (_rank(pool.before, with_nms) <= limit)
    everything = torch.ones_like(pool.overlapping)
    groups = {"": everything, "-overlapping": pool.overlapping}
    results = {
        task: {
            name + suffix: _percent(outcome[group])
            for suffix, group in groups.items()
            for name, outcome in own.items()
        }
        for task, own in outcomes.items()
    }
    results["objects"]["overlapping"] = _percent(pool.overlapping)
    results["objects"]["false_detections"] = float(limit)
    return results


def _outcomes(own: Matches, other: Matches, limit: int) -> dict[str, Tensor]:
    """Objects (G,) of each outcome for one of two detectors; see ``docs/evaluation.md``."""
    rank, other_rank = _rank(own.found, own), _rank(other.found, other)
    found, found_by_other = rank <= limit, other_rank <= limit
    both = found & found_by_other
    return {
        "found": found,
        "missed": found_by_other & ~found,
        "twice": _rank(own.second, own) <= limit,
        "lower_score": both & (rank > other_rank),
        "worse_box": both & (own.iou < other.iou),
    }


def _rank(scores: Tensor, detector: Matches) -> Tensor:
    """Number of false detections above each of the scores; infinite for :data:`MISSED`."""
    false = detector.false.sort().values
    above = len(false) - torch.searchsorted(false, scores.contiguous(), right=True)
    return above.double().masked_fill(scores == MISSED, math.inf)


def _percent(outcome: Tensor) -> float:
    return 100 * float(outcome.double().mean())
