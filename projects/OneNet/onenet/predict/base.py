"""What predictors share: images in, detections in pixels of these images out."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Sequence
from typing import TypeAlias, overload

import numpy as np

from ..errors import UserError
from .detections import Detections
from .images import Image, load_image, network_size, resize
from .model_card import ModelCard

Found: TypeAlias = tuple[np.ndarray, np.ndarray, np.ndarray]


class BasePredictor(ABC):
    """Detects objects in images.

    Args:
        card: how to feed the network.
        threshold: detections of a lower score are left out; by default what the card says.
        batch_size: at most this many images go through the network together.
    """

    def __init__(self, card: ModelCard, threshold: float | None = None, batch_size: int = 8):
        if batch_size < 1:
            raise UserError(f"batch_size must be at least 1, got {batch_size}.")
        self.card = card
        self.threshold = card.score_threshold if threshold is None else threshold
        self.batch_size = batch_size

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, by class id."""
        return self.card.class_names

    @abstractmethod
    def run(self, batch: np.ndarray) -> Sequence[Found]:
        """Run the network.

        Args:
            batch: (B, 3, H, W) uint8 in the card's channel order.

        Returns:
            For each image boxes (k, 4) in pixels of ``batch``, scores (k,) and classes (k,).
        """

    @overload
    def __call__(self, images: Image) -> Detections: ...

    @overload
    def __call__(self, images: Sequence[Image]) -> list[Detections]: ...

    def __call__(self, images):
        """Detect objects in an image, or in each of several.

        Args:
            images: a path, an array (H, W, 3) uint8 in BGR order as OpenCV has it, or a list of
                these, whose sizes may differ. Those that have the same size in the network go
                through it together.

        Returns:
            :class:`Detections`, or a list of them. In a list, an image that cannot be used has
            no detections but an ``error`` that names it; the others are done.

        Raises:
            UserError: a single image cannot be used.
        """
        if not isinstance(images, (list, tuple)):
            (result,) = self._detect([images])
            if result.error:
                raise UserError(result.error)
            return result
        results = []
        for start in range(0, len(images), self.batch_size):
            results += self._detect(images[start : start + self.batch_size], first=start)
        return results

    def _detect(self, images: Sequence[Image], first: int | None = None) -> list[Detections]:
        """Detect in a few images; ``first`` is the place of the first one in the caller's list."""
        results: list[Detections | None] = [None] * len(images)
        sizes: dict[int, tuple[int, int]] = {}
        groups: dict[tuple[int, int], list[tuple[int, np.ndarray]]] = defaultdict(list)
        for index, image in enumerate(images):
            try:
                array = load_image(image)
            except UserError as error:
                results[index] = failed(error, image, index, first)
                continue
            sizes[index] = array.shape[:2]
            prepared = self.prepare(array)
            groups[prepared.shape[1:]].append((index, prepared))
        for network_input, members in groups.items():
            batch = np.stack([prepared for _, prepared in members])
            for (index, _), found in zip(members, self.run(batch), strict=True):
                results[index] = self._finish(found, network_input, sizes[index])
        return results

    def prepare(self, image: np.ndarray) -> np.ndarray:
        """See :func:`prepare`, by the card of this predictor."""
        return prepare(image, self.card)

    def _finish(
        self, found: Found, network_input: tuple[int, int], image_size: tuple[int, int]
    ) -> Detections:
        """Scale boxes to the image, and leave out weak detections and boxes without area."""
        boxes, scores, classes = found
        (height, width), (rows, columns) = image_size, network_input
        scale = np.array([width / columns, height / rows] * 2, np.float32)
        limit = np.array([width, height] * 2, np.float32)
        boxes = np.clip(boxes * scale, 0, limit)
        keep = (boxes[:, 2:] > boxes[:, :2]).all(axis=1) & (scores >= self.threshold)
        return Detections(boxes[keep], scores[keep], classes[keep], (height, width))


def prepare(image: np.ndarray, card: ModelCard) -> np.ndarray:
    """Bring an image (H, W, 3) BGR to the size and form (3, h, w) that the network takes."""
    size = network_size(*image.shape[:2], card.shorter_side, card.longest_side)
    image = resize(image, *size)
    if card.channel_order == "RGB":
        image = image[..., ::-1]
    return np.ascontiguousarray(image.transpose(2, 0, 1))


def failed(error: UserError, image: Image, index: int, first: int | None) -> Detections:
    """Those of an image that could not be used; an array is named by its place, if there is one."""
    named = first is None or isinstance(image, (str, os.PathLike))
    return Detections.failed(str(error) if named else f"image {first + index}: {error}")
