"""What a predictor found in an image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Detections:
    """Detections in one image, best first.

    Attributes:
        boxes: (N, 4) float32, x1 y1 x2 y2 in pixels of the image as it was given.
        scores: (N,) float32 in [0, 1], descending.
        classes: (N,) int64.
        image_size: (height, width) of that image; (0, 0) where it could not be used.
        error: what is wrong with the image; empty where nothing is. Then there are no detections.
    """

    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray
    image_size: tuple[int, int]
    error: str = ""

    @classmethod
    def failed(cls, error: str) -> Detections:
        """Those of an image that could not be used."""
        none = np.zeros(0, np.float32)
        return cls(none.reshape(0, 4), none, none.astype(np.int64), (0, 0), error)

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, index: np.ndarray | slice) -> Detections:
        """The detections of these indices, or where this mask (N,) is True."""
        return Detections(
            self.boxes[index], self.scores[index], self.classes[index], self.image_size, self.error
        )

    def above(self, threshold: float) -> Detections:
        """The detections of at least this score."""
        return self[self.scores >= threshold]
