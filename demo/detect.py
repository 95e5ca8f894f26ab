"""What ``demo.py`` makes of the detections in an image: a picture, or lines of a results file."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch
from detectron2.structures import Boxes, Instances
from onenet.files import write_text
from onenet.predict import BasePredictor, Detections
from onenet.visualization import draw_detections
from torchvision.ops import batched_nms


@dataclass
class Painter:
    """Draws the detections, and beside them what NMS would leave of them.

    Attributes:
        predictor: finds them.
        scale: enlargement of the picture.
        nms_threshold: IoU of class-wise NMS for a second picture at the right; None = no such.
    """

    predictor: BasePredictor
    scale: float = 1.0
    nms_threshold: float | None = None

    def __call__(self, image: np.ndarray, index: int, name: str = "") -> np.ndarray:
        found = self.predictor(image)
        pictures = [self.draw(image, found)]
        if self.nms_threshold is not None:
            pictures.append(self.draw(image, suppress(found, self.nms_threshold)))
        return np.hstack(pictures)

    def draw(self, image: np.ndarray, found: Detections) -> np.ndarray:
        """A BGR picture of them over the BGR image."""
        instances = Instances(
            found.image_size,
            pred_boxes=Boxes(torch.from_numpy(found.boxes)),
            scores=torch.from_numpy(found.scores),
            pred_classes=torch.from_numpy(found.classes),
        )
        names = self.predictor.class_names
        picture = draw_detections(image[..., ::-1], instances, names, self.scale)
        return cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)


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

    def __call__(self, image: np.ndarray, index: int, name: str = "") -> None:
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
