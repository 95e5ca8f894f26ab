"""Small charts as inline SVG, whose colours come from the page, so that it can be dark or printed.

A line has ``data-arm``, ``data-x`` and ``data-y``: the page shows and hides it by arm, and tells
its values under the pointer. Without any script the ``<title>`` of a line does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from matplotlib.ticker import LogLocator, MaxNLocator

WIDTH, HEIGHT = 460, 290
LEFT, RIGHT, TOP, BOTTOM = 46, 20, 30, 40  # margins around the plot
NUM_COLORS = 8  # that the page defines; further lines are dashed
TICKS = 6
HEADROOM = 0.04  # above and below the data, as a share of their range
LEAST_COUNT = 0.7  # on the axis of a histogram, so that a single one can be seen
FEW = 12  # points of a line, up to which each is marked
DOT = 2.6  # radius of such a mark
COLUMNS, ROW = 2, 18  # of a legend
STROKE, GAP = 24, 6  # length of its lines, and from there to the text


@dataclass(frozen=True)
class Series:
    """A line.

    Attributes:
        arm: folder of the arm, which the page knows it by.
        label: what it is called.
        color: number of the arm; a colour, then dashes tell arms apart.
        x, y: points, in the order of x.
        spread: of each y to both sides, or none.
    """

    arm: str
    label: str
    color: int
    x: Sequence[float]
    y: Sequence[float]
    spread: Sequence[float] = ()


@dataclass(frozen=True)
class Axis:
    """One direction of a chart: its range, its ticks, and where a value lies in the picture."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def place(self, value: float) -> float:
        scale: Callable[[float], float] = math.log10 if self.log else float
        value = max(value, self.low) if self.log else value
        share = (scale(value) - scale(self.low)) / (scale(self.high) - scale(self.low))
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[float]:
        locator = LogLocator(subs=(1, 2, 5)) if self.log else MaxNLocator(TICKS)
        slack = 1e-9 * (self.high - self.low)
        found = locator.tick_values(self.low, self.high)
        return [float(x) for x in found if self.low - slack <= x <= self.high + slack]


def line_chart(
    series: Sequence[Series],
    title: str,
    x_label: str,
    *,
    x_range: tuple[float, float] | None = None,
    y_range: tuple[float, float] | None = None,
    log: bool = False,
) -> str:
    """A chart of lines, with the spread as a band around each (not where the axis is logarithmic).

    Args:
        series: the lines.
        title: what is on the y axis.
        x_label: what is on the x axis.
        x_range, y_range: of the axes; by default of the data.
        log: whether the y axis is logarithmic; values that are not positive are left out.
    """
    series = [_positive(one) for one in series] if log else list(series)
    series = [one for one in series if len(one.x)]
    x_axis = _axis([x for one in series for x in one.x], x_range, LEFT, WIDTH - RIGHT)
    values = [y for one in series for side in (-1, 0, 1) for y in _edge(one, side)]
    y_axis = _axis(values, y_range, HEIGHT - BOTTOM, TOP, log, HEADROOM)
    bands = "".join(_band(one, x_axis, y_axis) for one in series if len(one.spread))
    lines = "".join(_line(one, x_axis, y_axis) for one in series)
    return _frame(title, x_label, x_axis, y_axis, bands + lines, "line")


def histogram(
    edges: Sequence[float], counts: Sequence[tuple[str, str, Sequence[float]]], title: str
) -> str:
    """Counts over the same bins as steps, on a logarithmic scale from 1 on.

    Args:
        edges: (bins + 1,).
        counts: class of the page, label, and (bins,) of each.
        title: of the chart.
    """
    x_axis = _axis(edges, None, LEFT, WIDTH - RIGHT)
    top = max([10.0, *(value for _, _, some in counts for value in some)])
    y_axis = Axis(LEAST_COUNT, top, HEIGHT - BOTTOM, TOP, log=True)
    parts = []
    for name, label, some in counts:
        values = "; ".join(
            f"{low:.2f}: {n:g}" for low, n in zip(edges[:-1], some, strict=True) if n
        )
        path = "".join(
            f"M{x_axis.place(low):.1f} {y_axis.start}V{y_axis.place(n):.1f}"
            f"H{x_axis.place(high):.1f}V{y_axis.start}Z"
            for low, high, n in zip(edges[:-1], edges[1:], some, strict=True)
            if n
        )
        tip = f"{label}: {sum(some):g}"
        parts.append(
            f'<path class="bars {name}" d="{path}" data-tip="{escape(tip)}">'
            f"<title>{escape(f'{tip}. {values}')}</title></path>"
        )
    return _frame(title, "score", x_axis, y_axis, "".join(parts), "histogram")


def legend(labels: Sequence[str]) -> str:
    """Which line is which, for charts outside of a page.

    Args:
        labels: of the arms, in the order of their numbers.
    """
    entries = ""
    for number, label in enumerate(labels):
        row, column = divmod(number, COLUMNS)
        x, y = column * WIDTH // COLUMNS, row * ROW + ROW // 2
        entries += (
            f'<path class="line {line_style(number)}" d="M{x} {y}h{STROKE}"/>'
            f'<text x="{x + STROKE + GAP}" y="{y + 4}">{escape(label)}</text>'
        )
    height = math.ceil(len(labels) / COLUMNS) * ROW
    return f'<svg class="chart" viewBox="0 0 {WIDTH} {height}" role="img">{entries}</svg>'


def line_style(color: int) -> str:
    """The classes of a line, to which the page gives a colour and dashes."""
    return f"c{color % NUM_COLORS} d{color // NUM_COLORS % 3}"


def _positive(series: Series) -> Series:
    kept = [(x, y) for x, y in zip(series.x, series.y, strict=True) if y > 0]
    x, y = ([point[i] for point in kept] for i in range(2))
    return Series(series.arm, series.label, series.color, x, y)


def _axis(
    values: Sequence[float],
    limits: tuple[float, float] | None,
    start: float,
    end: float,
    log: bool = False,
    headroom: float = 0.0,
) -> Axis:
    known = [value for value in values if math.isfinite(value)] or [0.1, 1.0]
    low, high = limits or (min(known), max(known))
    if low == high:
        low, high = (low / 2, high * 2) if log else (low - 0.5, high + 0.5)
    elif not limits and not log:
        room = headroom * (high - low)
        low, high = low - room, high + room
    return Axis(low, high, start, end, log)


def _line(series: Series, x_axis: Axis, y_axis: Axis) -> str:
    places = (
        f"{x_axis.place(x):.1f} {y_axis.place(y):.1f}"
        for x, y in zip(series.x, series.y, strict=True)
    )
    last = f"{series.label}: {series.y[-1]:.4g} at {series.x[-1]:g}"
    dots = _dots(series, x_axis, y_axis) if len(series.x) <= FEW else ""
    return (
        f'<path class="line {line_style(series.color)}" '
        f'data-arm="{escape(series.arm)}" data-label="{escape(series.label)}" '
        f'data-x="{_numbers(series.x)}" data-y="{_numbers(series.y)}" '
        f'd="M{"L".join(places)}"><title>{escape(last)}</title></path>{dots}'
    )


def _dots(series: Series, x_axis: Axis, y_axis: Axis) -> str:
    return "".join(
        f'<circle class="dot c{series.color % NUM_COLORS}" data-arm="{escape(series.arm)}" '
        f'cx="{x_axis.place(x):.1f}" cy="{y_axis.place(y):.1f}" r="{DOT}"/>'
        for x, y in zip(series.x, series.y, strict=True)
    )


def _edge(series: Series, side: int) -> np.ndarray:
    """The line (0), or the lower (-1) or upper (1) edge of its band."""
    y = np.asarray(series.y, float)
    return y + side * np.asarray(series.spread) if len(series.spread) else y


def _band(series: Series, x_axis: Axis, y_axis: Axis) -> str:
    low, high = (np.clip(_edge(series, side), y_axis.low, y_axis.high) for side in (-1, 1))
    points = [*zip(series.x, high, strict=True), *zip(series.x[::-1], low[::-1], strict=True)]
    places = (f"{x_axis.place(x):.1f} {y_axis.place(float(v)):.1f}" for x, v in points)
    return (
        f'<path class="band c{series.color % NUM_COLORS}" data-arm="{escape(series.arm)}" '
        f'd="M{"L".join(places)}Z"/>'
    )


def _numbers(values: Sequence[float]) -> str:
    return " ".join(f"{value:.4g}" for value in values)


def _frame(title: str, x_label: str, x_axis: Axis, y_axis: Axis, content: str, kind: str) -> str:
    horizontal = "".join(
        f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>'
        f'<text x="{LEFT - 5}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>'
        for value in y_axis.ticks()
        for y in [y_axis.place(value)]
    )
    vertical = "".join(
        f'<text x="{x_axis.place(value):.1f}" y="{HEIGHT - BOTTOM + 16}" '
        f'text-anchor="middle">{value:g}</text>'
        for value in x_axis.ticks()
    )
    return (
        f'<svg class="chart {kind}" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(title)}">'
        f'<text class="title" x="{LEFT}" y="18">{escape(title)}</text>'
        f"{horizontal}{vertical}"
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 6}" '
        f'text-anchor="middle">{escape(x_label)}</text>'
        f"{content}"
        f'<path class="cursor" d=""/></svg>'
    )
