"""The score threshold at which a detector is used best."""

from __future__ import annotations

import math

import torch

from .diagnosis import MISSED, Matches


def best_f1_threshold(matches: Matches) -> tuple[float, float]:
    """Find the score threshold with the highest F1, the harmonic mean of precision and recall.

    At a threshold t, detections are those of score >= t and found are the ground truths with a
    counted detection among them (see ``docs/evaluation.md``); all others are wrong.

    Args:
        matches: pooled over a dataset.

    Returns:
        The threshold and its F1; (NaN, 0) where nothing is found at all.
    """
    found = matches.found[matches.found > MISSED].sort(descending=True).values
    if not len(found):
        return math.nan, 0.0
    # F1 changes for the better only where one more ground truth is found.
    detected = len(matches.scores) - torch.searchsorted(matches.scores.sort().values, found)
    rank = torch.arange(1, len(found) + 1)
    f1 = 2 * rank / (detected + len(matches.found))
    best = int(f1.argmax())
    return float(found[best]), float(f1[best])
