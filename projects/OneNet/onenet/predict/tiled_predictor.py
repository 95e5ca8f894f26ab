"""Detect objects in pictures of any size, tile by tile."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeAlias

import numpy as np

from ..errors import UserError
from ..image_stream import ImageStream, open_large_image
from ..tiles import Tile, TileGrid
from .base import BasePredictor, Found, failed
from .detections import Detections
from .images import Image, load_image

Track: TypeAlias = Callable[[Sequence[Tile]], Iterable[Tile]]


class TiledPredictor(BasePredictor):
    """A predictor that sees a picture in overlapping tiles, each of them as an image of its own.

    What it finds in a tile counts where its centre lies in the tile's own part, so that an object
    that is no larger than the overlap is found once, by the tile that shows it whole. There is no
    NMS. Tiles that are smaller than ``grid.size``, of small pictures, are resized as images are.

    >>> predictor = OnnxPredictor("model.onnx")  # doctest: +SKIP
    >>> TiledPredictor(predictor, TileGrid(400, 100))("forest.tif").boxes  # doctest: +SKIP

    A large file is read row by row, see :func:`~onenet.image_stream.open_large_image`; such a
    stream can be given too.

    Args:
        predictor: finds objects in a tile, in ``predictor.batch_size`` tiles together.
        grid: of the tiles, in pixels of the picture.
        track: wraps the tiles of a picture, say by a progress bar: ``tqdm``.
    """

    def __init__(self, predictor: BasePredictor, grid: TileGrid, track: Track = iter):
        super().__init__(predictor.card, predictor.threshold, predictor.batch_size)
        self.predictor = predictor
        self.grid = grid
        self.track = track

    def run(self, batch: np.ndarray) -> Sequence[Found]:
        return self.predictor.run(batch)

    def _detect(self, images: Sequence[Image], first: int | None = None) -> list[Detections]:
        results = []
        for index, image in enumerate(images):
            try:
                results.append(self._detect_tiles(open_picture(image)))
            except UserError as error:
                results.append(failed(error, image, index, first))
        return results

    def _detect_tiles(self, picture: np.ndarray | ImageStream) -> Detections:
        height, width = picture.shape[:2]
        tiles = self.track(self.grid.tiles(width, height))
        parts = []
        for batch in tile_batches(picture, tiles, self.prepare, self.batch_size):
            inputs = np.stack([prepared for _, prepared in batch])
            for (tile, _), found in zip(batch, self.run(inputs), strict=True):
                x1, y1, x2, y2 = tile.box
                here = self._finish(found, inputs.shape[2:], (y2 - y1, x2 - x1))
                boxes = here.boxes + np.array([x1, y1, x1, y1], np.float32)
                keep = tile.owns(boxes)
                parts.append((boxes[keep], here.scores[keep], here.classes[keep]))
        boxes, scores, classes = (np.concatenate(part) for part in zip(*parts, strict=True))
        best_first = np.argsort(-scores, kind="stable")
        return Detections(boxes, scores, classes, (height, width))[best_first]


def open_picture(image: Image | ImageStream) -> np.ndarray | ImageStream:
    """A picture of any size from a path, an array or an open stream.

    Raises:
        UserError: it cannot be read, or is no such array.
    """
    if isinstance(image, ImageStream):
        return image
    if isinstance(image, (str, os.PathLike)):
        return open_large_image(image)
    return load_image(image)


def tile_batches(
    picture: np.ndarray | ImageStream,
    tiles: Iterable[Tile],
    prepare: Callable[[np.ndarray], np.ndarray],
    batch_size: int,
) -> Iterator[list[tuple[Tile, np.ndarray]]]:
    """Cut tiles out of a picture.

    Args:
        picture: (H, W, 3) uint8, BGR. Its rows are asked for from top to bottom.
        tiles: row by row.
        prepare: a tile (h, w, 3) -> what the network takes.
        batch_size: as many tiles in each list, less in the last.
    """
    batch, span, rows = [], None, None
    for tile in tiles:
        x1, y1, x2, y2 = tile.box
        if span != (y1, y2):
            span, rows = (y1, y2), picture[y1:y2]
        batch.append((tile, prepare(rows[:, x1:x2])))
        if len(batch) == batch_size:
            yield batch
            batch = []
    if batch:
        yield batch
