"""What the signs in a picture of assignments mean."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.legend_handler import HandlerTuple
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import Normal, Stroke

from .draw import DPI, GAP, nth_color

HEAT_COLOR = "#ffb000"  # amber, which no level has
HATCH = "////"
TRUTH_COLOR = "#ffffff"
PRIOR_LINE = (0, (1, 1))

_LINE = 22  # height of a line of the legend, pixels
_ENTRY = 250  # width of an entry, pixels
_FONT_SIZE = 9.0  # points
_STEPS = 5  # of the colour scale
_HEATS = {"gaussian": "CenterNet's Gaussian", "score": "highest class score"}
_POINT = 72 / DPI  # of a pixel

Entry = tuple["Artist | tuple[Artist, ...]", str]


class _Stacked(tuple):
    """Signs that lie on each other; those of a plain tuple stand beside each other."""


def legend_height(num_entries: int, width: int) -> int:
    """Room that a legend needs in a figure, pixels."""
    return -(-num_entries // _columns(width)) * _LINE + GAP


def draw_legend(figure: Figure, entries: Sequence[Entry]) -> None:
    """Write the legend at the bottom of a figure, smaller where it would be wider than that."""
    width, _ = figure.get_size_inches() * DPI
    legend = _write(figure, entries, width, _FONT_SIZE)
    excess = legend.get_window_extent(figure.canvas.get_renderer()).width / (width - 2 * GAP)
    if excess > 1:
        legend.remove()
        _write(figure, entries, width, _FONT_SIZE / excess)


def _write(figure: Figure, entries: Sequence[Entry], width: float, font_size: float) -> Legend:
    return figure.legend(
        *zip(*entries, strict=True),
        loc="lower left",
        bbox_to_anchor=(0, 0),
        bbox_transform=None,
        ncol=_columns(width),
        frameon=False,
        fontsize=font_size,
        handler_map={
            tuple: HandlerTuple(ndivide=None, pad=0),
            _Stacked: HandlerTuple(ndivide=1, pad=0),
        },
        borderaxespad=GAP * _POINT / font_size,
        borderpad=0,
        columnspacing=1.2,
        labelspacing=0.5,
    )


def legend_entries(
    levels: Iterable[tuple[int, int]],
    *,
    ignored: bool = False,
    shared: bool = False,
    priors: bool = False,
    heats: Collection[str] = (),
) -> list[Entry]:
    """What a picture needs to explain.

    Args:
        levels: number and stride of those with a positive sample or an ignored area.
        ignored: whether an area is hatched.
        shared: whether some sample serves two objects.
        priors: whether prior boxes are drawn.
        heats: kinds of heat.
    """
    seam = [Stroke(linewidth=3.4, foreground="black"), Normal()]
    truth = Line2D([], [], color=TRUTH_COLOR, linewidth=2, path_effects=seam)
    center = Line2D([], [], color=TRUTH_COLOR, marker="+", markersize=8, linestyle="none")
    center.set(path_effects=seam, markeredgewidth=1.6)
    entries: list[Entry] = [((truth, center), "ground truth, its centre")]
    entries += [
        (_dot(nth_color(level)), f"positives, level {level} (stride {stride})")
        for level, stride in levels
    ]
    entries.append(((_dot("#999999", 9), _dot("#999999", 5)), "size of a dot: weight"))
    if shared:
        ring = _Stacked((_dot("#999999", 11), _dot("#999999", 6)))
        entries.append((ring, "ring: one sample of several objects"))
    if priors:
        line = Line2D([], [], color="black", linestyle=PRIOR_LINE, linewidth=1.2)
        entries.append((line, "prior box of a positive"))
    if ignored:
        area = Patch(facecolor="none", edgecolor="#555555", hatch=HATCH, linewidth=0.5)
        entries.append((area, "ignored, colour of the level"))
    kinds = [text for kind, text in _HEATS.items() if kind in heats]
    if kinds:
        entries.append((_scale(), f"0 to 1: {', '.join(kinds)}"))
    return entries


def _dot(color: str, size: float = 8) -> Line2D:
    marker = {"marker": "o", "markersize": size, "linestyle": "none", "markeredgecolor": "black"}
    return Line2D([], [], markerfacecolor=color, **marker)


def heat_colors(heat: np.ndarray) -> np.ndarray:
    """RGBA (..., 4) for heat (...) in [0, 1]: amber, the less transparent the hotter."""
    colors = np.empty((*heat.shape, 4), np.float32)
    colors[..., :3] = to_rgb(HEAT_COLOR)
    colors[..., 3] = np.sqrt(heat)  # or one tenth would hardly be seen
    return colors


def _scale() -> tuple[Patch, ...]:
    shades = heat_colors(np.linspace(0, 1, _STEPS))
    return tuple(Patch(facecolor=shade, edgecolor="none") for shade in shades)


def _columns(width: float) -> int:
    return max(1, int((width - GAP) // _ENTRY))
