"""Which charts a report has, from the tree of results.json."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from .results import FINISHED, Tree
from .svg import Series, histogram, line_chart

Chart = tuple[str, str]  # a name, the SVG

LOSS = "total_loss"


def history_charts(results: Tree) -> list[Chart]:
    """What was logged over training, a chart each; the mean over the seeds."""
    x_range = (0, _last_iteration(results))
    return [
        (
            key.replace("/", "_"),
            line_chart(
                _series(results, lambda run, key=key: _points(run, key)),
                title,
                "iteration",
                x_range=x_range,
                log=key == LOSS,
            ),
        )
        for key, title in results["history"].items()
    ]


def nms_chart(results: Tree) -> Chart:
    """AP against the IoU threshold of NMS after top-k; the point at 1 is without."""
    series = _series(results, lambda run: (run["curves"]["nms_threshold"], run["curves"]["ap"]))
    return "nms", line_chart(series, "AP", "IoU threshold of NMS after top-k (1: no NMS)")


def precision_charts(results: Tree) -> list[Chart]:
    """Precision against recall at IoU 0.5, without and with NMS."""
    titles = {"precision": "precision, without NMS", "precision_nms": "precision, with NMS 0.6"}
    return [
        (
            key,
            line_chart(
                _series(
                    results, lambda run, key=key: (run["curves"]["recall"], run["curves"][key])
                ),
                title,
                "recall",
                x_range=(0, 1),
                y_range=(0, 1),
            ),
        )
        for key, title in titles.items()
    ]


def histogram_charts(results: Tree) -> list[tuple[Tree, str]]:
    """For each arm that has any, the scores of its first matches and duplicates, seeds pooled."""
    charts = []
    for arm in results["arms"]:
        some = [run["histogram"] for run in arm["runs"] if "histogram" in run]
        if some:
            first, duplicates = (
                np.sum([one[key] for one in some], axis=0).tolist()
                for key in ("first", "duplicates")
            )
            counts = [("first", "true positives", first), ("dup", "duplicates", duplicates)]
            charts.append((arm, histogram(some[0]["edges"], counts, arm["label"])))
    return charts


def _last_iteration(results: Tree) -> float:
    runs = [run for arm in results["arms"] for run in arm["runs"]]
    histories = [points for run in runs for points in run.get("history", {}).values()]
    return max((x for points in histories for x, _ in points), default=1)


def _points(run: Tree, key: str) -> tuple[Sequence[float], Sequence[float]]:
    points = run["history"].get(key, [])
    return [x for x, _ in points], [y for _, y in points]


def _series(
    results: Tree, points_of: Callable[[Tree], tuple[Sequence[float], Sequence[float]]]
) -> list[Series]:
    """A line for each arm: mean over the finished seeds, with the standard deviation."""
    series = []
    for color, arm in enumerate(results["arms"]):
        curves = [points_of(run) for run in arm["runs"] if run["status"] == FINISHED]
        by_x: dict[float, list[float]] = {}
        for xs, ys in curves:
            for x, y in zip(xs, ys, strict=True):
                if y is not None:
                    by_x.setdefault(x, []).append(y)
        x = sorted(by_x)
        several = len(curves) > 1
        series.append(
            Series(
                arm["folder"],
                arm["label"],
                color,
                x,
                [float(np.mean(by_x[one])) for one in x],
                [_spread(by_x[one]) for one in x] if several else (),
            )
        )
    return series


def _spread(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
