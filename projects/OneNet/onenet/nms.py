"""What a dense detector with NMS does after its network; timed and evaluated beside top-k.

Source: Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017, section 4.1.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.ops import batched_nms, nms

from .inference import top_detections
from .structures import Predictions


def level_candidates(
    predictions: Predictions, level_sizes: Sequence[int], k: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The k (sample, class) pairs of highest score on each level, the first level first.

    RetinaNet also leaves out those that score less than 0.05. Here none is left out.

    Args:
        predictions: logits (B, R, K), boxes (B, R, 4) and perhaps quality (B, R).
        level_sizes: number of samples of each level; sums to R.
        k: at most this many a level and image.

    Returns:
        boxes (B, n, 4) in pixels, scores (B, n) in [0, 1], classes (B, n) int64.
    """
    outputs = predictions.logits, predictions.boxes, predictions.quality
    split = [x.split(list(level_sizes), dim=1) for x in outputs if x is not None]
    levels = [top_detections(Predictions(*level), k) for level in zip(*split, strict=True)]
    boxes, scores, classes = (torch.cat(parts, dim=1) for parts in zip(*levels, strict=True))
    return boxes, scores, classes


def kept_by_nms(boxes: Tensor, scores: Tensor, classes: Tensor, iou_threshold: float) -> Tensor:
    """Indices of the candidates that no better one of their class overlaps, best first.

    Args:
        boxes: (n, 4) x1 y1 x2 y2 of one image.
        scores: (n,).
        classes: (n,) int64.
        iou_threshold: a candidate goes if its IoU with one that stays is above this.
    """
    if not torch.compiler.is_exporting():
        return batched_nms(boxes, scores, classes, iou_threshold)
    # Loops over the classes cannot be traced; what it does with few boxes can.
    apart = classes[:, None] * (boxes.max() + 1)
    return nms(boxes + apart, scores, iou_threshold)
