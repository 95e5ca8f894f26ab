"""From what each run has left to the tree of plain values that is results.json."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from .claims import check_claim
from .columns import METRICS
from .experiment import Arm, Experiment, Section
from .statistics import RULE, Summary, compare, summarize

Tree = dict[str, Any]

FINISHED, FAILED, MISSING = "finished", "failed", "not finished"  # status of a run


def build_results(
    experiment: Experiment,
    runs: Mapping[str, Sequence[Tree]],
    *,
    command: str,
    machine: str,
    dataset: str,
    max_detections: int,
    history: Mapping[str, str],
) -> Tree:
    """Summarise runs over the seeds, compare the arms with the baseline, and check the claims.

    Args:
        experiment: what was asked for.
        runs: label of an arm -> its runs, each with a ``status``, and if that is ``FINISHED`` with
            ``metrics``.
        command, machine, dataset: for the record.
        max_detections: of an image and class that AP counts, for the record.
        history: what was logged over training: key -> title.

    Returns:
        Plain values, with all of the above. Each of ``arms`` has its ``runs``, and over the seeds
        ``mean``, ``sd`` and ``difference`` by metric.
    """
    arms = [_arm(arm, runs[arm.label]) for arm in experiment.arms]
    _add_differences(arms, experiment.baseline)
    return {
        "title": experiment.title,
        "command": command,
        "machine": machine,
        "dataset": dataset,
        "max_detections": max_detections,
        "seeds": list(experiment.seeds),
        "rule": RULE,
        "baseline": experiment.baseline,
        "metrics": [asdict(metric) for metric in METRICS],
        "arms": arms,
        "sections": [_section(section, arms) for section in experiment.sections],
        "history": dict(history),
    }


def without_nan(value: Any) -> Any:
    """A tree of plain values in which None stands for what is not finite, as JSON needs it."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: without_nan(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(one) for one in value]
    return value


def _arm(arm: Arm, runs: Sequence[Tree]) -> Tree:
    finished = [run["metrics"] for run in runs if run["status"] == FINISHED]
    summaries: dict[str, Summary] = {
        metric.name: summarize([metrics[metric.name] for metrics in finished]) for metric in METRICS
    }
    return {
        "label": arm.label,
        "folder": arm.folder,
        "config_file": arm.config_file,
        "opts": dict(arm.opts),
        "runs": list(runs),
        "mean": {name: summary.mean for name, summary in summaries.items()},
        "sd": {name: summary.sd for name, summary in summaries.items()},
        "difference": {},
    }


def _values(arm: Tree, metric: str) -> list[float]:
    """The values of a metric that the seeds of an arm have."""
    values = [run["metrics"][metric] for run in arm["runs"] if run["status"] == FINISHED]
    return [value for value in values if value is not None]


def _add_differences(arms: Sequence[Tree], baseline: str) -> None:
    by_label = {arm["label"]: arm for arm in arms}
    for metric in METRICS:
        values = {label: _values(arm, metric.name) for label, arm in by_label.items()}
        for label, difference in compare(values, baseline).items():
            by_label[label]["difference"][metric.name] = asdict(difference)


def _section(section: Section, arms: Sequence[Tree]) -> Tree:
    values = {
        arm["label"]: {metric.name: _values(arm, metric.name) for metric in METRICS} for arm in arms
    }
    claims = [
        {"text": claim.text, **asdict(check_claim(claim, values))} for claim in section.claims
    ]
    return {
        "title": section.title,
        "text": section.text,
        "arms": list(section.arms),
        "claims": claims,
    }
