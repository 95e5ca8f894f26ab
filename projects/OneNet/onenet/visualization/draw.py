"""Boxes, labels and panels on matplotlib axes, legible on any background."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ..files import complete_file
from .fonts import legible

Color = str  # as matplotlib has it

DPI = 100
PANEL_SIDE = 480  # longer side of an image in a figure of several, pixels
GAP = 10  # between panels, pixels
TITLE_HEIGHT = 26  # above a panel, pixels
CAPTION_LINE = 22  # below the panels, pixels a line

# Bright, so that black text on them can be read, neighbours as different as can be.
_COLORS = (
    "#ff5555", "#46f0f0", "#ffe119", "#ff66e3", "#9be33b",
    "#4da6ff", "#ff9f1c", "#ffffff", "#b388ff", "#2ecc71",
)  # fmt: skip
_SEAM = 1.4  # what the dark seam adds to the width of a line, points
_LABEL_ROOM = 0.08  # a box that starts this near to the upper edge has its label inside, image = 1


def nth_color(index: int) -> Color:
    """The colour of a class or an object, the same in every picture; they repeat after ten."""
    return _COLORS[index % len(_COLORS)]


def show_image(ax: Axes, image: np.ndarray) -> None:
    """Fill ``ax`` with an RGB image (H, W, 3); its coordinates are pixels from then on."""
    height, width = image.shape[:2]
    ax.imshow(image, extent=(0, width, height, 0), interpolation="nearest")
    ax.set_axis_off()


def draw_boxes(
    ax: Axes,
    boxes: np.ndarray,
    colors: Sequence[Color],
    labels: Sequence[str] = (),
    *,
    line_style: str = "-",
    line_width: float = 2.0,
    font_size: float = 8.0,
) -> None:
    """Outline boxes on an image that :func:`show_image` has put there.

    Args:
        ax: where to draw.
        boxes: (N, 4) x1 y1 x2 y2, pixels of the image.
        colors: one for each box.
        labels: one for each box, or none.
        line_style: of matplotlib.
        line_width, font_size: points.
    """
    seam = {
        "edgecolor": "black",
        "linewidth": line_width + _SEAM,
        "alpha": 1 if line_style == "-" else 0.5,
    }
    for (x1, y1, x2, y2), color in zip(boxes, colors, strict=True):
        line = {"edgecolor": color, "linewidth": line_width, "linestyle": line_style}
        for style in (seam, line):
            ax.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, **style))
    for box, color, label in zip(boxes, colors, labels, strict=True) if labels else ():
        draw_label(ax, box, color, label, font_size)


def draw_label(ax: Axes, box: np.ndarray, color: Color, label: str, font_size: float) -> None:
    """Write on a corner of a box, inside the image."""
    width, height = ax.get_xlim()[1], ax.get_ylim()[0]
    x1, y1, x2, _ = box
    at_right = x1 > 0.8 * width
    at_top = y1 < _LABEL_ROOM * height
    ax.annotate(
        label,
        (min(x2, width) if at_right else max(x1, 0), max(y1, 0)),
        xytext=(0, -2 if at_top else 1),
        textcoords="offset points",
        ha="right" if at_right else "left",
        va="top" if at_top else "bottom",
        fontsize=font_size,
        bbox={"boxstyle": "square,pad=0.12", "facecolor": color, "edgecolor": "none"},
    )


def panel_grid(
    rows: int,
    columns: int,
    caption: str = "",
    side: int = PANEL_SIDE,
    *,
    footer: int = 0,
    aspect: float = 1.0,
) -> tuple[Figure, np.ndarray]:
    """A figure of panels, square unless told otherwise, with room for titles, and a caption below.

    An image whose longer side divides ``side`` is enlarged by a whole number, without blur.

    Args:
        rows, columns: of the grid.
        caption: what one sees.
        side: width of a panel, pixels.
        footer: empty room at the bottom, pixels.
        aspect: height of a panel / its width.

    Returns:
        The figure and its axes (rows, columns).
    """
    lines = len(caption.splitlines())
    panel = round(side * aspect)
    cell = panel + TITLE_HEIGHT
    width = columns * side + (columns + 1) * GAP
    height = rows * cell + GAP + (lines * CAPTION_LINE + GAP if lines else 0) + footer
    figure = new_figure(width, height)
    axes = np.empty((rows, columns), dtype=object)
    for row, column in np.ndindex(rows, columns):
        left = GAP + column * (side + GAP)
        bottom = height - (row + 1) * cell
        axes[row, column] = figure.add_axes(
            (left / width, bottom / height, side / width, panel / height)
        )
        axes[row, column].set_axis_off()
    if lines:
        bottom = (GAP + footer) / height
        style = {"va": "bottom", "fontsize": 10.5, "linespacing": 1.4}
        figure.text(GAP / width, bottom, legible(caption), **style)
    return figure, axes


def new_figure(width: int, height: int) -> Figure:
    """A figure of ``width`` x ``height`` pixels that needs no display."""
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
    FigureCanvasAgg(figure)
    return figure


def to_array(figure: Figure) -> np.ndarray:
    """Render a figure, RGB (H, W, 3) uint8."""
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()


def save_figure(figure: Figure, path: str | os.PathLike, **options: Any) -> None:
    """Write a PNG, or what the name ends in, complete or not at all; ``options`` of matplotlib."""
    with complete_file(path) as partial:
        figure.savefig(partial, format=partial.suffix[1:] or "png", **options)
