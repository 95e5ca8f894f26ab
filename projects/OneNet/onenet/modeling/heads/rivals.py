"""How far the score of a sample is below that of samples nearby that found the same object."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ...geometry import elementwise_iou


def score_margins(
    scores: Tensor, labels: Tensor, boxes: Tensor, overlaps: tuple[float, ...]
) -> Tensor:
    """The score of a sample, less the highest one among it and its rivals.

    Rivals are the best samples of the same cell and of the eight around it that have the same label
    and a box that overlaps this one's. Nothing has a gradient.

    Args:
        scores: (B, H, W, A) of the best class of each sample, any scale, float32.
        labels: (B, H, W, A) that class.
        boxes: (B, H, W, A, 4) in pixels, float32.
        overlaps: IoU above which a sample is a rival, one or several.

    Returns:
        (B, H, W, len(overlaps) * A), at most 0; 0 where no rival has a higher score.
    """
    samples = torch.cat([boxes, scores[..., None], labels[..., None].float()], dim=-1).detach()
    best = scores.argmax(dim=-1)[..., None, None].expand(-1, -1, -1, 1, samples.shape[-1])
    rivals = _around(samples.gather(3, best).squeeze(3))[:, :, :, None]  # (B, H, W, 1, 9, 6)
    samples = samples[..., None, :]

    iou = elementwise_iou(samples[..., :4], rivals[..., :4])
    score = samples[..., 4].where(samples[..., 5] != rivals[..., 5], rivals[..., 4])
    own = samples[..., 4]
    highest = [torch.maximum(own, score.where(iou > x, own)).amax(dim=-1) for x in overlaps]
    return torch.cat([own[..., 0] - x for x in highest], dim=-1)


def _around(cells: Tensor) -> Tensor:
    """Each cell of a map (B, H, W, C) and the eight around it, (B, H, W, 9, C); outside are zeros.

    A box of zeros has no area and overlaps none.
    """
    height, width = cells.shape[1:3]
    padded = F.pad(cells, (0, 0, 1, 1, 1, 1))
    shifts = [(dy, dx) for dy in range(3) for dx in range(3)]
    return torch.stack([padded[:, y : y + height, x : x + width] for y, x in shifts], dim=3)
