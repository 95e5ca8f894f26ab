"""Overlapping tiles that cover a picture."""

from __future__ import annotations

Box = tuple[int, int, int, int]  # x1, y1, x2, y2 in pixels


def tile_boxes(width: int, height: int, size: int, overlap: int) -> list[Box]:
    """Spread square tiles evenly over a picture, as few as reach from edge to edge.

    Args:
        width, height: of the picture, in pixels.
        size: side of a tile; where the picture is smaller, a tile ends with it.
        overlap: neighbours share at least so many pixels, below ``size``. An object that is no
            larger lies whole in some tile.

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
