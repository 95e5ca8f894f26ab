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
    # Maps stay the last dimensions, boxes split up: an exported graph copies what it transposes.
    x1, y1, x2, y2 = boxes
    area = F.relu(x2 - x1) * F.relu(y2 - y1)
    own = torch.stack([x1, y1, x2, y2, area, scores, labels.float()])
    best = scores.argmax(dim=1, keepdim=True).expand(len(own), -1, 1, -1, -1)
    rivals = _around(own.gather(2, best)[:, :, 0])[:, :, :, None]  # (7, 9, B, 1, H, W)
    own = own[:, None]

    sides = torch.minimum(own[2:4], rivals[2:4]) - torch.maximum(own[:2], rivals[:2])
    width, height = F.relu(sides)
    intersection = width * height
    union = own[4] + rivals[4] - intersection
    lead = F.relu(rivals[5] - own[5]) * (rivals[6] == own[6])
    leads = [(lead * (intersection > x * union)).amax(dim=0) for x in overlaps]
    return -torch.cat(leads, dim=1)


def _around(maps: Tensor) -> Tensor:
    """Of maps (C, B, H, W), each cell and the eight around it, (C, 9, B, H, W); outside are zeros.

    A box of zeros has no area and overlaps none.
    """
    height, width = maps.shape[-2:]
    padded = F.pad(maps, (1, 1, 1, 1))
    shifts = [(dy, dx) for dy in range(3) for dx in range(3)]
    return torch.stack([padded[..., y : y + height, x : x + width] for y, x in shifts], dim=1)
