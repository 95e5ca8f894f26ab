"""The report as Markdown: tables, claims, what failed."""

from __future__ import annotations

from collections.abc import Sequence

from tabulate import tabulate

from .columns import BY_NAME, METRICS
from .results import FINISHED, Tree
from .statistics import REAL, UNKNOWN

# The two tables of an overview; results.json and report.html have every metric.
ACCURACY = (
    "AP", "AP50", "AP75", "APs", "APm", "APl", "AP_nms", "AP50_nms", "AP75_nms", "nms_gap",
)  # fmt: skip
BEHAVIOUR = (
    "kept", "duplicates", "score_gap", "max_score", "positives_per_gt", "step_seconds",
    "assignment_share",
)  # fmt: skip
IN_SECTION = ("AP", "AP_nms", "nms_gap", "kept", "duplicates", "score_gap", "max_score")


def write_markdown(results: Tree) -> str:
    """The whole report, as text."""
    parts = [f"# {results['title']}", provenance(results)]
    for section in results["sections"]:
        parts += section_parts(results, section)
    parts += ["## All arms", *overview(results), failures(results)]
    return "\n\n".join(part for part in parts if part) + "\n"


def provenance(results: Tree) -> str:
    """What was run, where, and how many runs there are."""
    runs = [run for arm in results["arms"] for run in arm["runs"]]
    finished = [run for run in runs if run["status"] == FINISHED]
    hours = sum(run["seconds"] for run in finished) / 3600
    return (
        f"    {results['command']}\n\n"
        f"{len(finished)} of {len(runs)} runs finished, evaluated on {results['dataset']}, at most "
        f"{results['max_detections']} detections an image and class; seeds "
        f"{', '.join(map(str, results['seeds']))}; {hours:.2f} h of training steps on "
        f"{results['machine']}. Values are the mean over the seeds (standard deviation)."
    )


def overview(results: Tree) -> list[str]:
    """Tables of all arms, the differences to the baseline, and what the columns mean."""
    labels = [arm["label"] for arm in results["arms"]]
    meanings = "\n".join(f"- **{m.title}**: {m.meaning}" for m in METRICS)
    return [
        table(results, labels, ACCURACY),
        table(results, labels, BEHAVIOUR),
        difference_table(results),
        meanings,
    ]


def table(results: Tree, labels: Sequence[str], metrics: Sequence[str]) -> str:
    """A row for each arm: mean (standard deviation) of some metrics."""
    arms = {arm["label"]: arm for arm in results["arms"]}
    rows = [[label, *(mean_sd(arms[label], name) for name in metrics)] for label in labels]
    headers = ["arm", *(BY_NAME[name].title for name in metrics)]
    return _pipe(rows, headers)


def mean_sd(arm: Tree, name: str) -> str:
    """Mean of a metric over the seeds, and its standard deviation where there is one."""
    metric = BY_NAME[name]
    mean, sd = arm["mean"][name], arm["sd"][name]
    return metric.format(mean) + (f" ({sd:.{metric.digits}f})" if sd is not None else "")


def difference_table(results: Tree, metrics: Sequence[str] = ("AP", "AP_nms", "nms_gap")) -> str:
    """Differences to the baseline with p, and whether they are inside the noise."""
    rows = [
        [arm["label"], *(difference(arm, name) for name in metrics)]
        for arm in results["arms"]
        if arm["label"] != results["baseline"]
    ]
    if not rows:
        return ""
    headers = [f"minus {results['baseline']}", *(BY_NAME[name].title for name in metrics)]
    return f"{_pipe(rows, headers)}\n\n{results['rule']}"


def difference(arm: Tree, name: str) -> str:
    """A difference to the baseline in words."""
    found = arm["difference"].get(name)
    if found is None:
        return "–"
    value = f"{found['value']:+.{BY_NAME[name].digits}f}"
    if found["verdict"] == UNKNOWN:
        return f"{value} ({UNKNOWN})"
    told = f"p = {found['p']:.2g}"
    return f"**{value}** ({told})" if found["verdict"] == REAL else f"{value} (noise, {told})"


def section_parts(results: Tree, section: Tree) -> list[str]:
    """Heading, text, table and claims of a section."""
    rows = [
        [claim["text"], f"**{claim['verdict']}**", claim["evidence"]] for claim in section["claims"]
    ]
    return [
        f"## {section['title']}",
        section["text"],
        table(results, section["arms"], IN_SECTION),
        _pipe(rows, ["claim", "here", "evidence"]) if rows else "",
    ]


def failures(results: Tree) -> str:
    """Runs that failed, with the end of what they printed, and runs that are missing."""
    parts = []
    for arm in results["arms"]:
        for run in arm["runs"]:
            name = f"{arm['label']}, seed {run['seed']}"
            if run["status"] == "failed":
                tail = "\n".join(f"    {line}" for line in run["tail"])
                code = f" with exit code {run['exit_code']}" if "exit_code" in run else ""
                parts.append(f"{name}: failed{code}\n\n{tail}")
            elif run["status"] != FINISHED:
                parts.append(f"{name}: {run['status']}")
    return "\n\n".join(["## Runs without a result", *parts]) if parts else ""


def _pipe(rows: Sequence[Sequence[str]], headers: Sequence[str]) -> str:
    cells = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    return tabulate(cells, headers=headers, tablefmt="pipe", disable_numparse=True)
