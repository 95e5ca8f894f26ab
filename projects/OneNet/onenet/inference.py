"""From predictions to detections: top-k, and nothing else."""

from __future__ import annotations

import torch
from detectron2.structures import Boxes, Instances
from torch import Tensor
from torchvision.ops import batched_nms, clip_boxes_to_image

from .geometry import gather_samples
from .structures import Predictions


def top_detections(predictions: Predictions, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """The k (sample, class) pairs of highest score in each image.

    A sample of one of these pairs is among the k with the best single class, since k better samples
    would have k better pairs; so the classes of only these k are sorted.

    Args:
        predictions: logits (B, R, K), boxes (B, R, 4) and perhaps quality (B, R).
        k: at most this many a image; R * K where there are fewer.

    Returns:
        boxes (B, k, 4) in pixels, scores (B, k) in [0, 1], descending, classes (B, k) int64.
    """
    logits, quality = predictions.logits, predictions.quality
    num_classes = logits.shape[2]
    best = logits.amax(dim=2)
    if quality is not None:
        best = best.sigmoid() * quality.sigmoid()
    samples = torch.sym_min(k, best.shape[1])  # sizes are symbols in an export
    sample = best.topk(samples, dim=1).indices
    scores = gather_samples(logits, sample).sigmoid()
    if quality is not None:
        scores = scores * gather_samples(quality, sample).sigmoid()[..., None]
    scores, pair = scores.flatten(1).topk(torch.sym_min(k, samples * num_classes), dim=1)
    row = torch.div(pair, num_classes, rounding_mode="floor")
    boxes = gather_samples(predictions.boxes, sample.gather(1, row))
    return boxes, scores, pair - row * num_classes


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
