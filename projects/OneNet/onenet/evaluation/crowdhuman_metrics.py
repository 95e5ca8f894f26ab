"""CrowdHuman's metrics: AP50, log-average miss rate and recall, with ignore regions.

Definitions: Shao et al., "CrowdHuman: A Benchmark for Detecting Human in a Crowd", 2018, section 4,
and Dollar et al., "Pedestrian Detection: An Evaluation of the State of the Art", PAMI 2012. What
they leave open is as in the dataset's own toolkit, so that figures can be compared.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

MATCH_IOU = 0.5
# Nine points from 10^-2 to 10^0, evenly spaced in logarithm, rounded as the toolkit has them.
REFERENCE_FPPI = (0.01, 0.0178, 0.0316, 0.0562, 0.1, 0.1778, 0.3162, 0.5623, 1.0)
FALSE, TRUE, IGNORED = 0, 1, -1


class Scored(NamedTuple):
    """What became of the detections of one image or of many, those in ignore regions left out.

    Attributes:
        scores: (D,) of the detections that count.
        true: (D,) bool, whether each found a person.
        people: number of people to be found.
        images: number of images.
    """

    scores: np.ndarray
    true: np.ndarray
    people: int
    images: int


def match_image(
    boxes: np.ndarray,
    people: np.ndarray,
    regions: np.ndarray,
    threshold: float = MATCH_IOU,
) -> np.ndarray:
    """Match the detections of an image, best first.

    Each detection takes the person of highest IoU among those that no better detection has taken,
    if the IoU is above ``threshold``. Otherwise it is ignored if more than ``threshold`` of its own
    area is in one ignore region, any number of detections in the same one, and else false.

    Args:
        boxes: (D, 4) detections x1 y1 x2 y2, by descending score.
        people: (G, 4) ground truths.
        regions: (N, 4) ignore regions.
        threshold: of both overlaps, which must exceed it.

    Returns:
        (D,) int: ``TRUE``, ``FALSE`` or ``IGNORED``.
    """
    share, _ = _overlaps(boxes, regions)
    outcome = np.where((share > threshold).any(axis=1), IGNORED, FALSE)
    _, iou = _overlaps(boxes, people)
    for detection in np.flatnonzero((iou > threshold).any(axis=1)):
        best = iou[detection].argmax()
        if iou[detection, best] > threshold:
            outcome[detection] = TRUE
            iou[:, best] = -1  # taken
    return outcome


def _overlaps(boxes: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Intersection over the area of ``boxes``, and over the union, each (D, N)."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    intersection = (high - low).clip(min=0).prod(axis=2)
    area, other_area = ((x[:, 2:] - x[:, :2]).clip(min=0).prod(axis=1) for x in (boxes, others))
    union = area[:, None] + other_area - intersection
    tiny = np.finfo(float).tiny  # 0 / 0 is 0
    return intersection / np.maximum(area[:, None], tiny), intersection / np.maximum(union, tiny)


def pool(parts: Iterable[Scored]) -> Scored:
    """Pool what became of the detections of several images."""
    parts = list(parts)
    return Scored(
        np.concatenate([np.zeros(0), *(part.scores for part in parts)]),
        np.concatenate([np.zeros(0, bool), *(part.true for part in parts)]),
        sum(part.people for part in parts),
        sum(part.images for part in parts),
    )


def crowdhuman_metrics(scored: Scored) -> dict[str, float]:
    """Reduce the outcome of all detections to the metrics, in percent; NaN where there is nobody.

    ``AP50``: area below the curve of precision over recall that straight lines between the
    detections make, from the first detection on. ``mMR``: the miss rate (1 - recall) at the first
    detection with which the false positives per image reach each of ``REFERENCE_FPPI`` (the last
    detection if they never do), as the geometric mean; less is better. ``recall``: of all
    detections together.
    """
    if scored.people == 0:
        return dict.fromkeys(("AP50", "mMR", "recall"), math.nan)
    if len(scored.scores) == 0:
        return {"AP50": 0.0, "mMR": 100.0, "recall": 0.0}
    true = scored.true[np.argsort(-scored.scores, kind="stable")]
    true_count, false_count = true.cumsum(), (~true).cumsum()
    recall = true_count / scored.people
    precision = true_count / (true_count + false_count)
    average_precision = (np.diff(recall) * (precision[1:] + precision[:-1]) / 2).sum()
    reached = np.searchsorted(false_count / scored.images, REFERENCE_FPPI)
    missed = 1 - recall[reached.clip(max=len(recall) - 1)]
    with np.errstate(divide="ignore"):  # nobody missed at one of the points makes the mean 0
        log_average = np.exp(np.log(missed).mean())
    return {
        "AP50": 100 * float(average_precision),
        "mMR": 100 * float(log_average),
        "recall": 100 * float(recall[-1]),
    }
