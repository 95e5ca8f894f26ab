"""How much boxes overlap the objects of an image."""

from __future__ import annotations

import torch
from torch import Tensor

from ..geometry import elementwise_iou
from ..structures import GroundTruth
from .pieces import in_rows, piece_size


def largest_iou(boxes: Tensor, gt: GroundTruth, max_pairs: int = 0) -> Tensor:
    """IoU of each box with the ground truth that it overlaps most.

    Args:
        boxes: (B, R, 4), or (1, R, 4) for the same ones in every image.
        gt: G padded ground truths for each of B images.
        max_pairs: bounds the memory, not the result; 0 = by device.

    Returns:
        (B, R) in [0, 1]; 0 in an image without objects, and for a box that is not finite.
    """
    step = piece_size(max_pairs, gt.valid.numel(), boxes.device)
    parts = map(in_rows, boxes.split(step, dim=1))
    return torch.cat([pairwise_iou(part, gt).amax(dim=1) for part in parts], dim=1)


def pairwise_iou(boxes: Tensor, gt: GroundTruth) -> Tensor:
    """(B, G, R), IoU of each box with each ground truth; the rest as for :func:`largest_iou`."""
    iou = elementwise_iou(boxes[:, None], gt.boxes[:, :, None])
    return iou.nan_to_num_(0).mul_(gt.valid[..., None])
