"""How far the score of a sample is below that of samples nearby that found the same object."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def score_margins(
    scores: Tensor, labels: Tensor, boxes: Tensor, overlaps: tuple[float, ...]
) -> Tensor:
    """The score of a sample, less the highest one among it and its rivals.

    Rivals are the best samples of the same cell and of the eight around it that have the same label
    and a box that overlaps this one's.

    Args:
        scores: (B, A, H, W) of the best class of each sample, any scale, float32.
        labels: (B, A, H, W) that class.
        boxes: (4, B, A, H, W) in pixels, float32.
        overlaps: IoU above which a sample is a rival, one or several.

    Returns:
        (B, len(overlaps) * A, H, W), at most 0; 0 where no rival has a higher score.
    """
    # What is compared is contiguous, and the maps are its last dimensions: an export needs the one,
    # and is fast with the other.
    sides = F.relu(boxes[2:] - boxes[:2])
    own = torch.cat([boxes, torch.stack([sides[0] * sides[1], scores, labels.float()])])
    rivals = _around(_best_of_cells(own), itself=own.shape[2] > 1)
    own = own[:, None]

    width, height = F.relu(
        torch.minimum(own[2:4], rivals[2:4]) - torch.maximum(own[:2], rivals[:2])
    )
    intersection = width * height
    union = own[4] + rivals[4] - intersection
    lead = F.relu(rivals[5] - own[5]) * (rivals[6] == own[6])
    leads = [(lead * (intersection > x * union)).amax(dim=0) for x in overlaps]
    return -torch.cat(leads, dim=1)


def _best_of_cells(samples: Tensor) -> Tensor:
    """Of samples (7, B, A, H, W) the ones that score highest in their cells, (7, B, 1, H, W)."""
    if samples.shape[2] == 1:
        return samples
    best = samples[5].argmax(dim=1, keepdim=True)
    return samples.gather(2, best.expand(len(samples), -1, -1, -1, -1))


def _around(cells: Tensor, itself: bool) -> Tensor:
    """The eight cells around each one of maps (C, ..., H, W), and perhaps this one too.

    Returns:
        (C, 8 or 9, ..., H, W). Outside of the maps are zeros; a box of zeros overlaps none.
    """
    height, width = cells.shape[-2:]
    padded = F.pad(cells, (1, 1, 1, 1))[:, None]
    places = [(y, x) for y in range(3) for x in range(3) if itself or (y, x) != (1, 1)]
    return torch.cat([padded[..., y : y + height, x : x + width] for y, x in places], dim=1)
