"""What ``demo.py`` makes of the detections in an image: a picture, or lines of a results file."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from math import floor, sqrt
from pathlib import Path

import cv2
import numpy as np
import torch
from detectron2.structures import Boxes, Instances
from onenet.errors import UserError
from onenet.files import write_text
from onenet.image_stream import ImageStream
from onenet.predict import BasePredictor, Detections
from onenet.visualization import draw_detections
from torchvision.ops import batched_nms

MAX_DRAWN = 25_000_000  # pixels of a picture of a file that is too large to be read whole


@dataclass
class Painter:
    """Draws the detections, and beside them what NMS would leave of them.

    Raises:
        UserError: the picture of a large file would have more than ``MAX_DRAWN`` pixels.

    Attributes:
        predictor: finds them.
        scale: enlargement of the picture.
        nms_threshold: IoU of class-wise NMS for a second picture at the right; None = no such.
    """

    predictor: BasePredictor
    scale: float = 1.0
    nms_threshold: float | None = None

    def __call__(self, image: np.ndarray | ImageStream, index: int, name: str = "") -> np.ndarray:
        if isinstance(image, ImageStream):
            check_drawable(image, self.scale, name)
        found = self.predictor(image)
        both = [found]
        if self.nms_threshold is not None:
            both.append(suppress(found, self.nms_threshold))
        scale = self.scale
        if isinstance(image, ImageStream):
            image, scale = image.reduced(scale), 1.0
            both = [resized(one, image.shape[:2]) for one in both]
        return np.hstack([self.draw(image, one, scale) for one in both])

    def draw(self, image: np.ndarray, found: Detections, scale: float) -> np.ndarray:
        """A BGR picture of them over the BGR image."""
        instances = Instances(
            found.image_size,
            pred_boxes=Boxes(torch.from_numpy(found.boxes)),
            scores=torch.from_numpy(found.scores),
            pred_classes=torch.from_numpy(found.classes),
        )
        names = self.predictor.class_names
        picture = draw_detections(image[..., ::-1], instances, names, scale)
        return cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)


def check_drawable(image: ImageStream, scale: float, name: str) -> None:
    """Refuse a picture of too many pixels, before any work on it."""
    height, width, _ = image.shape
    if scale**2 * height * width <= MAX_DRAWN:
        return
    most = floor(100 * sqrt(MAX_DRAWN / (height * width))) / 100
    raise UserError(
        f"{name}: {width} x {height} pixels are too many for a picture: say --scale {most:g} or "
        "less, or --output FILE.json for the detections alone"
    )


def resized(found: Detections, size: tuple[int, int]) -> Detections:
    """The same in an image that was resized to ``size`` (height, width)."""
    (height, width), (rows, columns) = size, found.image_size
    scale = np.array([width / columns, height / rows] * 2, np.float32)
    return replace(found, boxes=found.boxes * scale, image_size=size)


def suppress(found: Detections, threshold: float) -> Detections:
    """What class-wise NMS leaves."""
    parts = (torch.from_numpy(x) for x in (found.boxes, found.scores, found.classes))
    return found[batched_nms(*parts, threshold).numpy()]


@dataclass
class CocoResults:
    """Collects detections in COCO's results format.

    Image and category ids count from 0, in the order of the inputs (those that cannot be read keep
    theirs) and of the model's classes; names stand beside them, which COCO's tools ignore.
    """

    predictor: BasePredictor
    lines: list[dict] = field(default_factory=list)

    def __call__(self, image: np.ndarray | ImageStream, index: int, name: str = "") -> None:
        found = self.predictor(image)
        for (x1, y1, x2, y2), score, label in zip(
            found.boxes.tolist(), found.scores.tolist(), found.classes.tolist(), strict=True
        ):
            self.lines.append(
                {
                    "image_id": index,
                    "category_id": label,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "score": score,
                    "file_name": name,
                    "category_name": self.predictor.class_names[label],
                }
            )

    def write(self, path: Path) -> None:
        """Write the JSON file, complete or not at all."""
        write_text(path, json.dumps(self.lines, ensure_ascii=False))
