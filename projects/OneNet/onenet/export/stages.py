"""The graph in parts, and the tail that a dense detector with NMS has: to be timed side by side."""

from __future__ import annotations

from collections.abc import Sequence

from detectron2.config import CfgNode
from torch import Tensor, nn
from torchvision.ops import clip_boxes_to_image

from ..inference import top_detections
from ..nms import kept_by_nms, level_candidates
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
    the weights: it is the time of an image with many candidates. The keys are Detectron2's.
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
        boxes, scores, classes = level_candidates(
            Predictions(*outputs), self.level_sizes, self.candidates
        )
        boxes = clip_boxes_to_image(boxes, self.image_size)
        found: list[Tensor] = []
        for image in zip(boxes, scores, classes, strict=True):
            keep = kept_by_nms(*image, self.iou_threshold)[: self.max_detections]
            found += [x[keep] for x in image]
        return tuple(found)
