"""From corners to boxes: which top-left corner belongs to which bottom-right corner."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ...geometry import box_centers, gather_samples
from ...structures import CornerPredictions, Predictions

NO_SCORE = -1e4  # logit of what is no detection; its score is 0, also in half precision
PAIRS = 1000  # of an image, as in the official code
LEAST_REST = 1e-7  # by which a score differs from 0 and from 1


def group_corners(
    corners: CornerPredictions, shape: tuple[int, int], topk: int, distance: float
) -> Predictions:
    """The best pairs of corners of each image, as predictions of as many samples.

    1. A corner is a cell that no neighbour surpasses in its class; the best ``topk`` over all cells
       and classes are kept on each of the two maps.
    2. Two corners are a pair if they have one class, embeddings that differ by at most
       ``distance``, and the second lies neither above nor to the left of the first.
    3. The score of a pair is the mean of those of its corners, and its logits are those of this
       score in its class and of 0 in all others. Where there are fewer pairs than samples, the
       score is 0.

    Source: CornerNet (Law and Deng, ECCV 2018), section 4.1.

    Args:
        corners: at R = 2 * H * W samples, float32.
        shape: H, W.
        topk: k, corners of each map.
        distance: largest difference of embeddings.

    Returns:
        Predictions at min(1000, k * k) samples, best first.
    """
    num_classes = corners.logits.shape[2]
    scores, samples, classes = best_corners(corners.logits, shape, topk)
    first, second = (gather_samples(box_centers(corners.boxes), s)[:, :, None] for s in samples)
    second = second.transpose(1, 2)
    embedding, other = (gather_samples(corners.embedding, s)[:, :, None] for s in samples)
    paired = classes[0][:, :, None] == classes[1][:, None]
    paired = paired & ((embedding - other.transpose(1, 2)).abs() <= distance)
    paired = paired & (second >= first).all(dim=-1)
    score, other = scores[0][:, :, None], scores[1][:, None]
    # A map may have fewer peaks than topk; what is none has a score of 0.
    paired = paired & (score > 0) & (other > 0)
    score = ((score + other) / 2).masked_fill(~paired, 0)

    count = score.shape[1]
    score, pair = score.flatten(1).topk(torch.sym_min(PAIRS, count * count), dim=1)
    one = torch.div(pair, count, rounding_mode="floor")
    two = pair - one * count
    boxes = torch.cat(
        [gather_samples(first[:, :, 0], one), gather_samples(second[:, 0], two)], dim=-1
    )
    label = classes[0].gather(1, one)
    logit = score.logit(LEAST_REST).masked_fill(score == 0, NO_SCORE)
    logits = logit.new_full((*logit.shape, num_classes), NO_SCORE)
    return Predictions(logits.scatter(2, label[..., None], logit[..., None]), boxes)


def best_corners(
    logits: Tensor, shape: tuple[int, int], k: int
) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """The corners of highest score on both maps.

    Args:
        logits: (B, 2 * H * W, K), first those of top-left corners.
        shape: H, W.
        k: how many of each map; all (cell, class) where there are fewer.

    Returns:
        For the two maps, scores (B, k), samples (B, k) int64 and classes (B, k) int64.
    """
    cells = shape[0] * shape[1]
    found = []
    for index, heat in enumerate(logits.transpose(1, 2).unflatten(2, (2, *shape)).unbind(2)):
        peaks = F.max_pool2d(heat, 3, stride=1, padding=1) == heat
        score = (heat.sigmoid() * peaks).flatten(1)
        score, place = score.topk(torch.sym_min(k, score.shape[1]), dim=1)
        label = torch.div(place, cells, rounding_mode="floor")
        found.append((score, place - label * cells + index * cells, label))
    scores, samples, classes = zip(*found, strict=True)
    return list(scores), list(samples), list(classes)
