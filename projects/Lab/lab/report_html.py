"""The report as one HTML page that needs nothing else: no network, no other file."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from string import Template

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
    parts = {
        "title": escape(results["title"]),
        "style": page_file("chart.css") + page_file("report.css"),
        "script": page_file("report.js"),
        "provenance": _provenance(results),
        "section_chips": _section_chips(results),
        "arm_chips": "".join(map(_arm_chip, range(len(results["arms"])), results["arms"])),
        "rule": escape(results["rule"]),
        "table": _table(results),
        "claims": _claims(results["sections"]),
        **_training(results),
        "detections": "".join(svg for _, svg in [nms_chart(results), *precision_charts(results)]),
        "histograms": "".join(
            f'<div data-arm="{_attribute(arm["folder"])}">{svg}</div>'
            for arm, svg in histogram_charts(results)
        ),
        "scene_chips": "".join(
            f'<button data-scene="scene{i}" aria-pressed="false">{escape(scene["name"])}</button>'
            for i, scene in enumerate(results["scenes"])
        ),
        "wall": "".join(
            _scene(i, scene, results["arms"], output) for i, scene in enumerate(results["scenes"])
        ),
        "failures": _failures(results),
        "configs": "".join(map(_config, results["arms"])),
    }
    return Template(page_file("report.html")).substitute(parts)


def _training(results: Tree) -> dict[str, str]:
    """Charts of what was logged in training, and of the images whose assignment was watched."""
    parts: dict[bool, list[str]] = {False: [], True: []}
    for key, (_, svg) in zip(results["history"], history_charts(results), strict=True):
        parts[key.startswith(DYNAMICS)].append(svg)
    watched = f'{page_file("dynamics.html")}<div class="charts">{"".join(parts[True])}</div>'
    return {"history": "".join(parts[False]), "dynamics": watched if parts[True] else ""}


def page_file(name: str) -> str:
    """A file that the page is made of."""
    return (PAGE / name).read_text(encoding="utf-8")


def _provenance(results: Tree) -> str:
    runs = [run for arm in results["arms"] for run in arm["runs"]]
    finished = sum(run["status"] == FINISHED for run in runs)
    seeds = ", ".join(map(str, results["seeds"]))
    return (
        f"<pre>{escape(results['command'])}</pre><p>{finished} of {len(runs)} runs finished; "
        f"evaluated on {escape(results['dataset'])}, at most {results['max_detections']} "
        f"detections an image and class; seeds {seeds}; "
        f"{escape(results['machine'])}.</p>"
    )


def _section_chips(results: Tree) -> str:
    if not results["sections"]:
        return ""
    folders = {arm["label"]: arm["folder"] for arm in results["arms"]}
    sections = [("all", list(folders)), *((s["title"], s["arms"]) for s in results["sections"])]
    return "".join(
        f'<button aria-pressed="{str(title == "all").lower()}" '
        f'data-arms="{_attribute(json.dumps([folders[label] for label in labels]))}">'
        f"{escape(title)}</button>"
        for title, labels in sections
    )


def _arm_chip(index: int, arm: Tree) -> str:
    path = f'<path class="line {line_style(index)}" d="M0 4H22"/>'
    line = f'<svg class="chart" viewBox="0 0 22 8">{path}</svg>'
    return (
        f'<button aria-pressed="true" data-arm="{_attribute(arm["folder"])}">{line}'
        f"{escape(arm['label'])}</button>"
    )


def _table(results: Tree) -> str:
    heads = ['<th scope="col"><button>arm</button></th>']
    heads += [
        f'<th scope="col" data-tip="{_attribute(metric.meaning)}"><button>'
        f"{escape(metric.title)}</button></th>"
        for metric in METRICS
    ]
    rows = "".join(_row(arm, arm["label"] == results["baseline"]) for arm in results["arms"])
    return (
        f'<table class="results"><thead><tr>{"".join(heads)}</tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )


def _row(arm: Tree, baseline: bool) -> str:
    cells = "".join(_cell(arm, metric) for metric in METRICS)
    kind = ' class="baseline"' if baseline else ""
    return (
        f'<tr{kind} data-arm="{_attribute(arm["folder"])}">'
        f'<td data-value="{_attribute(arm["label"])}">{escape(arm["label"])}</td>{cells}</tr>'
    )


def _cell(arm: Tree, metric: Metric) -> str:
    mean, sd = arm["mean"][metric.name], arm["sd"][metric.name]
    difference = arm["difference"].get(metric.name, {})
    text = metric.format(mean)
    if sd is not None:
        text += f" <small>({sd:.{metric.digits}f})</small>"
    kind = CLASSES.get(difference.get("verdict"), "")
    return (
        f'<td class="{kind}" data-value="{"" if mean is None else repr(mean)}" '
        f'data-tip="{_attribute(_hover(arm, metric, difference))}">{text}</td>'
    )


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


def _claims(sections: Sequence[Tree]) -> str:
    heading = '<h2 id="claims">Claims</h2>' if sections else ""
    return heading + "".join(map(_section, sections))


def _section(section: Tree) -> str:
    rows = "".join(
        f"<tr><td>{escape(claim['text'])}</td><td class='verdict'>{escape(claim['verdict'])}</td>"
        f"<td>{escape(claim['evidence'])}</td></tr>"
        for claim in section["claims"]
    )
    table = f'<table class="claims"><tbody>{rows}</tbody></table>' if rows else ""
    return f"<h3>{escape(section['title'])}</h3><p>{escape(section['text'])}</p>{table}"


def _scene(index: int, scene: Tree, arms: Iterable[Tree], output: Path) -> str:
    figures = []
    for arm in arms:
        picture = scene["pictures"].get(arm["label"])
        if picture:
            data = base64.b64encode((output / picture["file"]).read_bytes()).decode("ascii")
            figures.append(
                f'<figure class="strip" data-arm="{_attribute(arm["folder"])}">'
                f'<figcaption data-tip="{_attribute(picture["caption"])}">'
                f"<b>{escape(arm['label'])}</b>: {escape(picture['caption'])}</figcaption>"
                f'<img alt="{_attribute(arm["label"])}" src="data:image/jpeg;base64,{data}">'
                "</figure>"
            )
    return (
        f'<section class="scene" id="scene{index}"><h3>{escape(scene["name"])}</h3>'
        f'<div class="wall">{"".join(figures)}</div></section>'
    )


def _failures(results: Tree) -> str:
    parts = []
    for arm in results["arms"]:
        for run in arm["runs"]:
            if run["status"] != FINISHED:
                tail = "\n".join(run.get("tail", []))
                code = f", exit code {run['exit_code']}" if "exit_code" in run else ""
                parts.append(
                    f"<p>{escape(arm['label'])}, seed {run['seed']}: {run['status']}{code}</p>"
                    + (f"<pre>{escape(tail)}</pre>" if tail else "")
                )
    return f'<h2 id="failures">Runs without a result</h2>{"".join(parts)}' if parts else ""


def _config(arm: Tree) -> str:
    opts = " ".join(f"{key} {value}" for key, value in arm["opts"].items())
    return (
        f'<p data-arm="{_attribute(arm["folder"])}"><b>{escape(arm["label"])}</b>: '
        f"<code>{escape(arm['config_file'])} {escape(opts)}</code></p>"
    )


def _attribute(text: str) -> str:
    return escape(text, quote=True)
