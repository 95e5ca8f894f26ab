"""Overlapping tiles that cover a picture, and which of them an object belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from .errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    Boxes = TypeVar("Boxes", np.ndarray, Tensor)

Box = tuple[int, int, int, int]  # x1, y1, x2, y2 in pixels


class Tile(NamedTuple):
    """A tile of a picture.

    Attributes:
        box: what it shows of the picture.
        part: its own part (x1, y1, x2, y2): up to the middle of what it shares with a neighbour,
            and without end where it has none. The own parts of all tiles are a partition.
    """

    box: Box
    part: tuple[float, float, float, float]

    def owns(self, boxes: Boxes) -> Boxes:
        """Which boxes have their centre in the own part.

        An object that is no larger than the overlap is whole in the tile that owns it, and what
        other tiles show of it is not theirs, be it whole or cut.

        Args:
            boxes: (N, 4) x1 y1 x2 y2 in pixels of the picture, an array or a tensor.

        Returns:
            (N,) bool.
        """
        x, y = (boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2
        x1, y1, x2, y2 = self.part
        return (x >= x1) & (x < x2) & (y >= y1) & (y < y2)


@dataclass(frozen=True)
class TileGrid:
    """How to lay tiles.

    Attributes:
        size: side of a tile; where the picture is smaller, a tile ends with it.
        overlap: neighbours share at least so many pixels. An object that is no larger lies whole
            in some tile.

    Raises:
        UserError: these cannot be.
    """

    size: int = 400
    overlap: int = 100

    def __post_init__(self):
        if not 0 <= self.overlap < self.size:
            raise UserError(
                f"the overlap of tiles is {self.overlap} pixels, must be at least 0 and below "
                f"their size, {self.size}"
            )

    def boxes(self, width: int, height: int) -> list[Box]:
        """The tiles of a picture row by row, all of one size; see :func:`tile_boxes`."""
        return tile_boxes(width, height, self.size, self.overlap)

    def tiles(self, width: int, height: int) -> list[Tile]:
        """The same with what is each one's own."""
        boxes = self.boxes(width, height)
        columns = _parts({(x1, x2) for x1, _, x2, _ in boxes})
        rows = _parts({(y1, y2) for _, y1, _, y2 in boxes})
        tiles = []
        for box in boxes:
            (left, right), (top, bottom) = columns[box[0]], rows[box[1]]
            tiles.append(Tile(box, (left, top, right, bottom)))
        return tiles


def tile_boxes(width: int, height: int, size: int, overlap: int) -> list[Box]:
    """Spread square tiles evenly over a picture, as few as reach from edge to edge.

    Args:
        width, height: of the picture, in pixels.
        size, overlap: see :class:`TileGrid`.

    Returns:
        The tiles row by row. All are of one size.
    """
    return [
        (x, y, x + min(size, width), y + min(size, height))
        for y in _starts(height, size, overlap)
        for x in _starts(width, size, overlap)
    ]


def _starts(length: int, size: int, overlap: int) -> list[int]:
    """Where the tiles begin along one side of the picture."""
    if length <= size:
        return [0]
    steps = -(-(length - size) // (size - overlap))  # rounded up
    return [step * (length - size) // steps for step in range(steps + 1)]


def _parts(spans: set[tuple[int, int]]) -> dict[int, tuple[float, float]]:
    """The own part of each tile along one side of the picture, by the tile's start."""
    spans = sorted(spans)
    middles = [(end + start) / 2 for (_, end), (start, _) in zip(spans, spans[1:], strict=False)]
    borders = [float("-inf"), *middles, float("inf")]
    return {start: (borders[i], borders[i + 1]) for i, (start, _) in enumerate(spans)}
