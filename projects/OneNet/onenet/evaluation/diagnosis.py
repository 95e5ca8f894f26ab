"""Does a detector need NMS? Numbers that say so beside AP, from one pass over a dataset.

All functions are pure and vectorised. :func:`match_detections` looks at one image,
:func:`merge_matches` pools images (and processes), :func:`diagnose` and :func:`score_histogram`
reduce the pool. Letters: D detections and G ground truths of one image.
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

import torch
from detectron2.structures import Boxes, pairwise_iou
from torch import Tensor
from torch.nn.functional import pad

MATCH_IOU = 0.5
TARGET_RECALL = 0.6
MISSED = -math.inf


class Matches(NamedTuple):
    """What detections found, of one image or of many. Every field is a 1-d float64 tensor.

    Attributes:
        found: one entry a ground truth: the highest score among the detections counted for it,
            :data:`MISSED` if none is.
        second: likewise, the second-highest score.
        iou: likewise, the IoU of the detection of highest score, 0 if there is none.
        duplicates: scores of the further detections counted for a ground truth.
        false: scores of the detections that are counted for no ground truth.
        gaps: best minus second-best score of each ground truth that some detection overlaps.
        scores: scores of all detections, matched or not.
    """

    found: Tensor
    second: Tensor
    iou: Tensor
    duplicates: Tensor
    false: Tensor
    gaps: Tensor
    scores: Tensor


def match_detections(
    boxes: Tensor,
    scores: Tensor,
    classes: Tensor,
    gt_boxes: Tensor,
    gt_classes: Tensor,
    iou_threshold: float = MATCH_IOU,
) -> Matches:
    """Match the detections of one image to its ground truths.

    A detection *overlaps* a ground truth of its own class where their IoU is above
    ``iou_threshold``. It is *counted for* at most one: the overlapped ground truth of highest IoU.
    Ground truths that shall not count (crowds) are left out by the caller.

    Args:
        boxes: (D, 4) x1 y1 x2 y2, pixels.
        scores: (D,) in [0, 1].
        classes: (D,) int64.
        gt_boxes: (G, 4) x1 y1 x2 y2, pixels.
        gt_classes: (G,) int64.
        iou_threshold: overlap means an IoU strictly above this.

    Returns:
        Matches: with G entries in ``found`` and D in ``scores``.
    """
    scores = scores.double()
    iou, counted = count_detections(boxes, classes, gt_boxes, gt_classes, iou_threshold)
    by_count, order = _rank_scores(counted, scores)
    by_overlap, _ = _rank_scores(iou > iou_threshold, scores)
    best, second = by_overlap[:, 0], by_overlap[:, 1].clamp(min=0)
    return Matches(
        found=by_count[:, 0],
        second=by_count[:, 1],
        iou=pad(iou * counted, (0, 2)).gather(1, order[:, :1])[:, 0].double(),
        duplicates=by_count[:, 1:][by_count[:, 1:] > MISSED],
        false=scores[~counted.any(dim=0)],
        gaps=(best - second)[best > MISSED],
        scores=scores,
    )


def count_detections(
    boxes: Tensor,
    classes: Tensor,
    gt_boxes: Tensor,
    gt_classes: Tensor,
    iou_threshold: float = MATCH_IOU,
) -> tuple[Tensor, Tensor]:
    """Which detection is counted for which ground truth; arguments as of :func:`match_detections`.

    Returns:
        IoU (G, D), 0 between two classes, and (G, D) bool.
    """
    iou = pairwise_iou(Boxes(gt_boxes), Boxes(boxes)) * (gt_classes[:, None] == classes)
    # A last row that nothing exceeds keeps the maximum defined for G = 0.
    best_gt = torch.cat([iou, iou.new_zeros(1, len(boxes))]).argmax(dim=0)  # (D,)
    nearest = best_gt == torch.arange(len(gt_boxes), device=iou.device)[:, None]
    return iou, nearest & (iou > iou_threshold)


def _rank_scores(mask: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
    """Sort the ``scores`` (D,) that ``mask`` (G, D) selects in each row, best first.

    Returns:
        (G, D + 2), filled up with :data:`MISSED`, so that there is always a second-best; and where
        they were, D and D + 1 being what was filled up.
    """
    selected = torch.where(mask, scores, torch.full_like(scores, MISSED))
    return pad(selected, (0, 2), value=MISSED).sort(dim=1, descending=True)


def merge_matches(matches: Iterable[Matches]) -> Matches:
    """Pool the matches of several images; the order of images and batches does not matter."""
    empty = torch.zeros(0, dtype=torch.float64)
    fields = zip([empty] * len(Matches._fields), *matches, strict=True)
    return Matches(*(torch.cat(field) for field in fields))


def recall_threshold(matches: Matches, target_recall: float = TARGET_RECALL) -> float:
    """Find the score at which recall first reaches ``target_recall``, classes pooled.

    Recall at score t is the share of ground truths for which some detection with score >= t is
    counted. If it never reaches the target, this is the lowest score of all detections; without
    detections, NaN.
    """
    if len(matches.scores) == 0:
        return math.nan
    # The subtraction keeps 0.6 * 35 = 21.000000000000004 or the like from asking for one more.
    needed = max(1, math.ceil(target_recall * len(matches.found) - 1e-9))
    if int((matches.found > MISSED).sum()) < needed:
        return float(matches.scores.min())
    return float(matches.found.sort(descending=True).values[needed - 1])


def diagnose(matches: Matches, target_recall: float = TARGET_RECALL) -> dict[str, float]:
    """Reduce pooled matches to the diagnosis. What cannot be computed is NaN.

    Args:
        matches: pooled over the dataset.
        target_recall: in (0, 1]; where on the recall curve duplicates are counted. A fixed score
            would hide the duplicates of a detector whose scores are low.

    Returns:
        dict: ``duplicates``, detections counted per found ground truth among those with score >=
        ``score_threshold`` (1 is perfect); ``score_gap``, mean best minus second-best score over
        the ground truths that any detection overlaps; ``recall``, reached at ``score_threshold``;
        ``score_threshold`` as in :func:`recall_threshold`; ``max_score``, highest of all.
    """
    threshold = recall_threshold(matches, target_recall)
    found = int((matches.found >= threshold).sum())
    repeated = int((matches.duplicates >= threshold).sum())
    num_gt = len(matches.found)
    return {
        "duplicates": (found + repeated) / found if found else math.nan,
        "score_gap": float(matches.gaps.mean()),
        "recall": found / num_gt if num_gt else math.nan,
        "score_threshold": threshold,
        "max_score": float(matches.scores.max()) if len(matches.scores) else math.nan,
    }


def score_histogram(matches: Matches, bins: int = 50) -> dict[str, list[float]]:
    """Histogram the scores of first matches and of duplicates over [0, 1].

    Returns:
        dict: ``edges`` (bins + 1), and counts (bins) of ``first`` (the best detection of each
        found ground truth) and ``duplicates``.
    """
    first = matches.found[matches.found > MISSED]
    return {
        "edges": torch.linspace(0, 1, bins + 1, dtype=torch.float64).tolist(),
        "first": torch.histc(first, bins, 0, 1).long().tolist(),
        "duplicates": torch.histc(matches.duplicates, bins, 0, 1).long().tolist(),
    }
