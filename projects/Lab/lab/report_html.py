"""The report as one HTML page that needs nothing else: no network, no other file."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path

from onenet.web import render_page

from .charts import histogram_charts, history_charts, nms_chart, precision_charts
from .collect import DYNAMICS
from .columns import METRICS, Metric
from .results import FINISHED, Tree
from .statistics import NOISE, REAL
from .svg import line_style

PAGE = Path(__file__).with_name("page")
CLASSES = {REAL: "differs", NOISE: "noise"}


def write_html(results: Tree, output: Path) -> str:
    """The page.

    Args:
        results: the tree of results.json.
        output: folder of the experiment, where the pictures are.
    """
    folders = {arm["label"]: arm["folder"] for arm in results["arms"]}
    charts = dict(zip(results["history"], history_charts(results), strict=True))
    return render_page(
        PAGE,
        "report.html",
        ["chart.css", "report.css"],
        ["report.js"],
        results=results,
        FINISHED=FINISHED,
        folders=lambda labels: [folders[label] for label in labels],
        metrics=METRICS,
        classes=CLASSES,
        history=[svg for key, (_, svg) in charts.items() if not key.startswith(DYNAMICS)],
        dynamics=[svg for key, (_, svg) in charts.items() if key.startswith(DYNAMICS)],
        detections=[svg for _, svg in (nms_chart(results), *precision_charts(results))],
        histograms=histogram_charts(results),
        line_style=line_style,
        hover=_hover,
        base64=lambda file: b64encode((output / file).read_bytes()).decode("ascii"),
    )


def page_file(name: str) -> str:
    """A file that the page is made of."""
    return (PAGE / name).read_text(encoding="utf-8")


def _hover(arm: Tree, metric: Metric, difference: Tree) -> str:
    lines = [f"{arm['label']}: {metric.meaning}"]
    for run in arm["runs"]:
        if run["status"] == FINISHED:
            value = run["metrics"][metric.name]
            lines.append(f"seed {run['seed']}: {'none' if value is None else f'{value:.4g}'}")
        else:
            lines.append(f"seed {run['seed']}: {run['status']}")
    if difference:
        p = "" if difference["p"] is None else f", p = {difference['p']:.2g}"
        lines.append(f"{difference['value']:+.3g} to the baseline: {difference['verdict']}{p}")
    return "\n".join(lines)
