"""Several assigners, at several moments, on the same image."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.text import Text

from ..inspection.positives import PositiveSamples
from .assignment import draw_dots
from .draw import GAP, PANEL_SIDE, draw_boxes, nth_color, panel_grid, show_image
from .legend import (
    HATCH,
    PRIOR_LINE,
    TRUTH_COLOR,
    Entry,
    draw_legend,
    heat_colors,
    legend_entries,
    legend_height,
)
from .sample_map import heat_kind, heat_values, ignored_area, sample_map

DOT_AREA = 26.0  # small enough to leave something of the heat below it, points squared
BACKDROP = 0.55  # how much of the contrast of an image is left


class Panel(NamedTuple):
    """One picture of the grid.

    Attributes:
        title: what it shows.
        samples: a batch of one image.
    """

    title: str
    samples: PositiveSamples


def draw_assignment(
    ax: Axes,
    image: np.ndarray,
    samples: PositiveSamples,
    *,
    heat: str = "auto",
    priors: bool = False,
) -> None:
    """Draw what an assigner makes of an image, which is grey and dim below it.

    Positive samples are dots in the colour of their level, sized by their weight; what the class
    loss ignores is hatched in that colour; ground truths are white, with a cross at the centre.

    Args:
        ax: where to draw.
        image: (H, W, 3) uint8 RGB, the network's input.
        samples: a batch of that image alone.
        heat: one of :data:`~onenet.visualization.sample_map.HEATS`.
        priors: whether to draw the prior boxes of the positive samples.
    """
    kind = heat_kind(samples, 0, heat)
    show_image(ax, _backdrop(image))
    if kind != "none":
        _draw_heat(ax, samples, kind, image.shape[:2])
    for level in range(len(samples.priors.level_sizes)):
        _hatch(ax, samples, level)
    used = samples.assignment.positive[0]
    sample = samples.assignment.sample[0, used].cpu()
    colors = [nth_color(level) for level in samples.priors.level.cpu()[sample].tolist()]
    if priors:
        boxes = samples.priors.boxes.cpu()[sample].numpy()
        draw_boxes(ax, boxes, colors, line_style=PRIOR_LINE, line_width=1.0)
    _draw_truth(ax, samples)
    draw_dots(ax, samples, 0, colors, DOT_AREA)
    ax.set_xlim(0, image.shape[1])
    ax.set_ylim(image.shape[0], 0)


def comparison_figure(
    rows: Sequence[Sequence[Panel]],
    image: np.ndarray,
    caption: str = "",
    *,
    heat: str = "auto",
    priors: bool = False,
    side: int = PANEL_SIDE,
) -> Figure:
    """A grid of panels of one image, with a legend of what is in it.

    Args:
        rows: of panels, all of the same length.
        image: (H, W, 3) uint8 RGB, the network's input.
        caption: what one sees.
        heat, priors: see :func:`draw_assignment`.
        side: of a panel, pixels.
    """
    columns = len(rows[0])
    entries = explain([panel.samples for row in rows for panel in row], heat=heat, priors=priors)
    footer = legend_height(len(entries), columns * (side + GAP))
    figure, axes = panel_grid(len(rows), columns, caption, side, footer=footer)
    for panels, row in zip(rows, axes, strict=True):
        for (title, samples), ax in zip(panels, row, strict=True):
            draw_assignment(ax, image, samples, heat=heat, priors=priors)
            text = ax.set_title(f"{title}: {_count(samples)}", fontsize=10, loc="left", pad=4)
            _shrink(text, side)
    draw_legend(figure, entries)
    return figure


def explain(
    pictures: Iterable[PositiveSamples], *, heat: str = "auto", priors: bool = False
) -> list[Entry]:
    """The entries of a legend for these pictures, drawn by :func:`draw_assignment`."""
    levels: dict[int, int] = {}
    ignored, shared, heats = False, False, set()
    for samples in pictures:
        used = samples.assignment.positive[0]
        sample = samples.assignment.sample[0, used].cpu()
        shared |= len(sample.unique()) < len(sample)
        shown = samples.priors.level.cpu()[sample].unique().tolist()
        for level in range(len(samples.priors.level_sizes)):
            area = ignored_area(samples, 0, level)
            ignored |= area is not None
            if level in shown or area is not None:
                first = sum(samples.priors.level_sizes[:level])
                levels[level] = int(samples.priors.stride[first])
        heats.add(heat_kind(samples, 0, heat))
    return legend_entries(
        sorted(levels.items()),
        ignored=ignored,
        shared=shared,
        priors=priors,
        heats=heats,
    )


def _backdrop(image: np.ndarray) -> np.ndarray:
    """A grey image of low contrast, on which colours can be seen."""
    grey = image.mean(axis=2, keepdims=True)
    return (BACKDROP * grey + (1 - BACKDROP) * 128).astype(np.uint8).repeat(3, axis=2)


def _draw_heat(ax: Axes, samples: PositiveSamples, kind: str, size: tuple[int, int]) -> None:
    heat = sample_map(heat_values(samples, 0, kind), samples.priors, size).clip(0, 1)
    height, width = size
    ax.imshow(heat_colors(heat), extent=(0, width, height, 0), interpolation="nearest")


def _hatch(ax: Axes, samples: PositiveSamples, level: int) -> None:
    area = ignored_area(samples, 0, level)
    if area is not None:
        color = nth_color(level)
        ax.add_patch(PathPatch(area, facecolor="none", edgecolor=color, hatch=HATCH, linewidth=0))


def _draw_truth(ax: Axes, samples: PositiveSamples) -> None:
    boxes = samples.gt.boxes[0][samples.gt.valid[0]].cpu().numpy()
    draw_boxes(ax, boxes, [TRUTH_COLOR] * len(boxes), line_width=1.4)
    x, y = ((boxes[:, :2] + boxes[:, 2:]) / 2).T
    for color, width in (("black", 3.0), (TRUTH_COLOR, 1.4)):
        ax.scatter(x, y, 60, color, marker="+", linewidths=width, zorder=2.5)


def _shrink(text: Text, width: int) -> None:
    """Write a text smaller if it would be wider than ``width`` pixels."""
    excess = text.get_window_extent().width / width
    if excess > 1:
        text.set_fontsize(text.get_fontsize() / excess)


def _count(samples: PositiveSamples) -> str:
    """How many positives there are to an object."""
    objects, pairs = int(samples.gt.valid.sum()), int(samples.assignment.positive.sum())
    if not objects:
        return "no object"
    return f"{pairs / objects:.1f} an object"
