"""From predictions to detections: top-k, and nothing else."""

from __future__ import annotations

import torch
from detectron2.structures import Boxes, Instances
from torch import Tensor
from torchvision.ops import batched_nms, clip_boxes_to_image

from .structures import Predictions


def top_detections(predictions: Predictions, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """The k (sample, class) pairs of highest score in each image.

    First the k best samples of every class, then the k best of those, which together are the k best
    of all; this is also how the official implementation orders them.

    Args:
        predictions: logits (B, R, K), boxes (B, R, 4) and perhaps quality (B, R).
        k: at most this many a image; R * K where there are fewer.

    Returns:
        boxes (B, k, 4) in pixels, scores (B, k) in [0, 1], descending, classes (B, k) int64.
    """
    scores = predictions.logits.transpose(1, 2).sigmoid()
    if predictions.quality is not None:
        scores = scores * predictions.quality.sigmoid()[:, None]
    scores, sample = scores.topk(min(k, scores.shape[2]), dim=2)
    per_class = scores.shape[2]
    scores, index = scores.flatten(1).topk(min(k, per_class * scores.shape[1]), dim=1)
    sample = sample.flatten(1).gather(1, index)
    boxes = predictions.boxes.gather(1, sample[..., None].expand(-1, -1, 4))
    return boxes, scores, torch.div(index, per_class, rounding_mode="floor")


def to_instances(
    detections: tuple[Tensor, Tensor, Tensor],
    image_sizes: list[tuple[int, int]],
    score_threshold: float = 0.0,
    nms_threshold: float | None = None,
) -> list[Instances]:
    """Detections of each image, clipped to it.

    Args:
        detections: boxes (B, k, 4), scores (B, k) and classes (B, k).
        image_sizes: unpadded (height, width) of each image in pixels.
        score_threshold: detections with a lower score are left out.
        nms_threshold: IoU of class-wise NMS; None = no NMS.
    """
    results = []
    for boxes, scores, classes, size in zip(*detections, image_sizes, strict=True):
        boxes = clip_boxes_to_image(boxes, size)
        keep = (scores >= score_threshold).nonzero().squeeze(1)
        if nms_threshold is not None:
            keep = keep[batched_nms(boxes[keep], scores[keep], classes[keep], nms_threshold)]
        results.append(
            Instances(
                size, pred_boxes=Boxes(boxes[keep]), scores=scores[keep], pred_classes=classes[keep]
            )
        )
    return results
