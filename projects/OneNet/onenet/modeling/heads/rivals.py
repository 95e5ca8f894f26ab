"""How far the score of a sample is below that of samples nearby that found the same object."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ...geometry import elementwise_iou


@torch.no_grad()
def score_margins(
    scores: Tensor, labels: Tensor, boxes: Tensor, overlaps: tuple[float, ...]
) -> Tensor:
    """The score of a sample, less the highest one among it and its rivals.

    Rivals are the samples of the same cell and of the eight around it that have the same label and
    a box that overlaps this one's.

    Args:
        scores: (B, H, W, A) of the best class of each sample, any scale.
        labels: (B, H, W, A) that class.
        boxes: (B, H, W, A, 4) in pixels.
        overlaps: IoU above which a sample is a rival, one or several.

    Returns:
        (B, H, W, len(overlaps) * A), at most 0; 0 where no rival has a higher score.
    """
    height, width = scores.shape[1:3]
    around = [F.pad(x, (0, 0, 1, 1, 1, 1)) for x in (scores, labels)]
    around.append(F.pad(boxes, (0, 0, 0, 0, 1, 1, 1, 1)))  # boxes without area overlap none
    highest = [scores] * len(overlaps)
    for dy in range(3):
        for dx in range(3):
            cell = slice(None), slice(dy, dy + height), slice(dx, dx + width)
            other_scores, other_labels, other_boxes = (x[cell].unsqueeze(3) for x in around)
            same = other_scores.where(other_labels == labels[..., None], -torch.inf)
            iou = elementwise_iou(boxes[..., None, :], other_boxes)
            highest = [
                torch.maximum(x, same.where(iou > overlap, -torch.inf).amax(dim=-1))
                for x, overlap in zip(highest, overlaps, strict=True)
            ]
    return torch.cat([scores - x for x in highest], dim=3)
