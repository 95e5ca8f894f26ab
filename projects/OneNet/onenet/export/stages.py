"""The graph in parts, and the tail that a dense detector with NMS has: to be timed side by side."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from detectron2.config import CfgNode
from torch import Tensor, nn
from torchvision.ops import batched_nms, clip_boxes_to_image, nms

from ..inference import top_detections
from ..structures import Predictions
from .graph import DetectionGraph


class Network(DetectionGraph):
    """Images in, predictions out: what comes before either tail."""

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Logits (B, R, K), boxes (B, R, 4) and, where the head has it, quality (B, R)."""
        predictions = self.predict(images)
        quality = predictions.quality
        parts = predictions.logits, predictions.boxes
        return parts if quality is None else (*parts, quality)


class TopKTail(nn.Module):
    """OneNet's post-processing: top-k over (sample, class), and boxes clipped to the image."""

    def __init__(self, max_detections: int, image_size: tuple[int, int]):
        super().__init__()
        self.max_detections = max_detections
        self.image_size = image_size

    def forward(self, *outputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Boxes (B, k, 4), scores (B, k) and classes (B, k) from what a network returned."""
        boxes, scores, classes = top_detections(Predictions(*outputs), self.max_detections)
        return clip_boxes_to_image(boxes, self.image_size), scores, classes


class NmsTail(nn.Module):
    """RetinaNet's post-processing: top-k on every level, class-wise NMS, the best of what is left.

    Unlike RetinaNet it has no score threshold, so that its time does not depend on the image and
    the weights: it is the time of an image with many candidates. Source: Lin et al., "Focal Loss
    for Dense Object Detection", section 4.1, with Detectron2's keys ``MODEL.RETINANET``.
    """

    def __init__(self, cfg: CfgNode, level_sizes: Sequence[int], image_size: tuple[int, int]):
        """
        Args:
            cfg: reads ``TOPK_CANDIDATES_TEST``, ``NMS_THRESH_TEST`` and
                ``TEST.DETECTIONS_PER_IMAGE``.
            level_sizes: samples of each level.
            image_size: height and width in pixels.
        """
        super().__init__()
        self.candidates = cfg.MODEL.RETINANET.TOPK_CANDIDATES_TEST
        self.iou_threshold = cfg.MODEL.RETINANET.NMS_THRESH_TEST
        self.max_detections = cfg.TEST.DETECTIONS_PER_IMAGE
        self.level_sizes = list(level_sizes)
        self.image_size = image_size

    def forward(self, *outputs: Tensor) -> tuple[Tensor, ...]:
        """Boxes (k, 4), scores (k,) and classes (k,) of the first image, then of the next."""
        by_level = zip(*(x.split(self.level_sizes, dim=1) for x in outputs), strict=True)
        levels = [self.best(*level) for level in by_level]
        boxes, scores, classes = (torch.cat(parts, dim=1) for parts in zip(*levels, strict=True))
        boxes = clip_boxes_to_image(boxes, self.image_size)
        found: list[Tensor] = []
        for image in zip(boxes, scores, classes, strict=True):
            keep = self.suppress(*image)[: self.max_detections]
            found += [x[keep] for x in image]
        return tuple(found)

    def best(
        self, logits: Tensor, boxes: Tensor, quality: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Boxes (B, n, 4), scores (B, n) and classes (B, n) of the candidates on one level."""
        scores = logits.sigmoid()
        if quality is not None:
            scores = scores * quality.sigmoid()[..., None]
        num_classes = logits.shape[2]
        scores, pair = scores.flatten(1).topk(min(self.candidates, logits[0].numel()), dim=1)
        sample = torch.div(pair, num_classes, rounding_mode="floor")
        boxes = boxes.gather(1, sample[..., None].expand(-1, -1, 4))
        return boxes, scores, pair - sample * num_classes

    def suppress(self, boxes: Tensor, scores: Tensor, classes: Tensor) -> Tensor:
        """Indices of the candidates of an image that stay, best first."""
        if not torch.compiler.is_exporting():
            return batched_nms(boxes, scores, classes, self.iou_threshold)
        # Loops over the classes cannot be traced; what it does with few boxes can.
        apart = classes[:, None] * (boxes.max() + 1)
        return nms(boxes + apart, scores, self.iou_threshold)
