"""Learning curves from the metrics of a run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from .draw import new_figure
from .fonts import legible

TOTAL = "total_loss"
AP_CURVES = {"bbox/AP": ("without NMS", "-o"), "bbox_nms/AP": ("with NMS", "--s")}

Records = Sequence[Mapping[str, float]]


def plot_curves(records: Records, title: str = "") -> Figure:
    """Losses, on a logarithmic scale, and AP over the iterations.

    Args:
        records: as :func:`onenet.engine.read_metrics` gives them.
        title: of the figure.
    """
    figure = new_figure(1200, 480)
    figure.set_layout_engine("constrained")
    figure.suptitle(legible(title), fontsize=12)
    losses, ap = figure.subplots(1, 2, sharex=True)
    _plot_losses(losses, records)
    _plot_ap(ap, records)
    for ax in (losses, ap):
        ax.set_xlabel("iteration")
        ax.grid(alpha=0.3)
        ax.spines[["top", "right"]].set_visible(False)
    return figure


def _plot_losses(ax: Axes, records: Records) -> None:
    names = sorted({key for record in records for key in record if key.startswith("loss_")})
    for name in [TOTAL, *names]:
        iterations, values = _series(records, name)
        style = {"color": "black", "linewidth": 2} if name == TOTAL else {"linewidth": 1.2}
        ax.plot(iterations, values, label=name.replace("_", " "), **style)
    ax.set_title("training losses (median of 20 iterations)", fontsize=11)
    ax.set_yscale("log")
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.legend(frameon=False)


def _plot_ap(ax: Axes, records: Records) -> None:
    steps = max(_series(records, TOTAL)[0], default=math.inf)
    for name, (label, style) in AP_CURVES.items():
        iterations, values = _series(records, name)
        # The evaluation after the last iteration is logged as if there had been one more.
        iterations = [min(iteration, steps) for iteration in iterations]
        last = f": {values[-1]:.1f} at the end" if values else ""
        ax.plot(iterations, values, style, label=label + last, markersize=4)
    ax.set_title("AP on the validation scenes", fontsize=11)
    ax.set_ylim(bottom=0)
    ax.legend(frameon=False, loc="lower right")


def _series(records: Records, name: str) -> tuple[list[float], list[float]]:
    """Iterations, counted from 1, and values of one metric."""
    points = [(record["iteration"] + 1, record[name]) for record in records if name in record]
    return [x for x, _ in points], [y for _, y in points]
