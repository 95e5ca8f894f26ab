"""From the folders of the runs to one tree of plain values, which is results.json."""

from __future__ import annotations

import json
import math
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode
from tqdm import tqdm

from ..compat import coco_evaluator_kwargs
from ..engine.metrics_file import final_results, read_metrics, training_seconds
from .claims import check_claim
from .columns import METRICS, run_metrics
from .detection_curves import detection_curves
from .experiment import Arm, Experiment, Run
from .runner import FAILURE
from .statistics import RULE, Summary, compare, summarize

FINISHED, FAILED, MISSING = "finished", "failed", "not trained"
MAX_POINTS = 150  # of a learning curve
# What is drawn over training: titles of the charts by the key of the log.
HISTORY = {
    "total_loss": "training loss",
    "bbox/AP": "AP without NMS",
    "bbox_nms/AP": "AP with NMS 0.6",
    "nms_diagnosis/duplicates": "detections per found ground truth",
    "assign/positives_per_gt": "positive samples per ground truth",
    "assign/positive_score": "score at the positive samples",
    "assign/positive_iou": "IoU at the positive samples",
    "assign/shared_samples": "share of positive samples of several ground truths",
}
DYNAMICS = "dynamics/"  # whatever else the assignment is said to do, by its own key

Tree = dict[str, Any]


def collect(
    experiment: Experiment, runs: Sequence[Run], configs: Sequence[CfgNode], command: str
) -> Tree:
    """Read what the runs have left, those that failed and those that are missing included.

    Args:
        experiment: what was asked for.
        runs, configs: all of its runs, with their configs.
        command: the command line, for the record.

    Returns:
        Plain values: ``title command machine dataset rule baseline metrics arms sections history``.
        Each of ``arms`` has its ``runs``, and over the seeds ``mean``, ``sd`` and ``difference``.
    """
    histories: dict[str, str] = {}
    arms = []
    bar = tqdm(total=len(runs), desc="reading the runs", unit="run")
    for arm in experiment.arms:
        own = [(run, cfg) for run, cfg in zip(runs, configs, strict=True) if run.arm is arm]
        trees = []
        for run, cfg in own:
            trees.append(_collect_run(run, cfg, histories))
            bar.update()
        arms.append(_collect_arm(arm, trees))
    bar.close()
    _add_differences(arms, experiment.baseline)
    return {
        "title": experiment.title,
        "command": command,
        "machine": describe_machine(configs[0].MODEL.DEVICE),
        "dataset": configs[0].DATASETS.TEST[0],
        "seeds": list(experiment.seeds),
        "rule": RULE,
        "baseline": experiment.baseline,
        "metrics": [asdict(metric) for metric in METRICS],
        "arms": arms,
        "sections": [_section(section, arms) for section in experiment.sections],
        "history": histories,
    }


def write_json(tree: Tree, path: Path) -> None:
    """Write a tree without NaN; the file appears when it is complete."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(tree, allow_nan=False), encoding="utf-8")
    os.replace(partial, path)


def describe_machine(device: str) -> str:
    """The processor or the GPU, and the version of PyTorch."""
    if device.startswith("cuda"):
        name = torch.cuda.get_device_name()
    else:
        name = f"{_processor()}, {len(os.sched_getaffinity(0))} cores"
    return f"{name}; PyTorch {torch.__version__}, Python {platform.python_version()}"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _collect_run(run: Run, cfg: CfgNode, histories: dict[str, str]) -> Tree:
    records = read_metrics(run.output_dir)
    results = final_results(records, cfg.SOLVER.MAX_ITER)
    tree: Tree = {"seed": run.seed, "folder": str(run.output_dir), "iterations": _reached(records)}
    if not results:
        return {**tree, **_why_not(run)}
    folder = run.output_dir / "inference"
    dataset, limit = cfg.DATASETS.TEST[0], _max_detections(cfg)
    seconds = training_seconds(records)
    titles = _history_titles(records)
    histories.update(titles)
    return {
        **tree,
        "status": FINISHED,
        "seconds": seconds,
        "metrics": run_metrics(results, records, seconds),
        "history": {key: _history(records, key, cfg.SOLVER.MAX_ITER) for key in titles},
        "curves": detection_curves(dataset, folder, **limit),
        "histogram": _histogram(folder),
    }


def _max_detections(cfg: CfgNode) -> dict[str, int]:
    """The limit that the evaluation had, where it is not COCO's own."""
    options = coco_evaluator_kwargs(cfg)
    return (
        {"max_detections": options["max_dets_per_image"]} if "max_dets_per_image" in options else {}
    )


def _why_not(run: Run) -> Tree:
    file = run.output_dir / FAILURE
    if not file.exists():
        return {"status": MISSING}
    return {"status": FAILED, **json.loads(file.read_text(encoding="utf-8"))}


def _reached(records: Sequence[Mapping[str, float]]) -> int:
    return max((record["iteration"] + 1 for record in records if "time" in record), default=0)


def _history_titles(records: Iterable[Mapping[str, float]]) -> dict[str, str]:
    keys = {key for record in records for key in record}
    known = {key: title for key, title in HISTORY.items() if key in keys}
    others = sorted(key for key in keys if key.startswith(DYNAMICS))
    return known | {key: key.removeprefix(DYNAMICS).replace("_", " ") for key in others}


def _history(records: Iterable[Mapping[str, float]], key: str, max_iter: int) -> list[list[float]]:
    """[iteration counted from 1, value] of a metric; no more points than can be seen."""
    points = [
        [min(r["iteration"] + 1, max_iter), r[key]]
        for r in records
        if key in r and math.isfinite(r[key])
    ]
    step = -(-len(points) // MAX_POINTS) or 1
    return points[::-step][::-1]  # the last one stays


def _histogram(folder: Path) -> Tree:
    content = json.loads((folder / "diagnosis.json").read_text(encoding="utf-8"))
    return content["histogram"]


def _collect_arm(arm: Arm, runs: list[Tree]) -> Tree:
    finished = [run["metrics"] for run in runs if run["status"] == FINISHED]
    summaries: dict[str, Summary] = {
        metric.name: summarize([metrics[metric.name] for metrics in finished]) for metric in METRICS
    }
    return {
        "label": arm.label,
        "folder": arm.folder,
        "config_file": arm.config_file,
        "opts": dict(arm.opts),
        "runs": runs,
        "mean": {name: summary.mean for name, summary in summaries.items()},
        "sd": {name: summary.sd for name, summary in summaries.items()},
        "difference": {},
    }


def values_of(arm: Tree, metric: str) -> list[float]:
    """The values of a metric that the seeds of an arm have."""
    values = [run["metrics"][metric] for run in arm["runs"] if run["status"] == FINISHED]
    return [value for value in values if value is not None]


def _add_differences(arms: list[Tree], baseline: str) -> None:
    by_label = {arm["label"]: arm for arm in arms}
    for metric in METRICS:
        values = {label: values_of(arm, metric.name) for label, arm in by_label.items()}
        for label, difference in compare(values, baseline).items():
            by_label[label]["difference"][metric.name] = asdict(difference)


def _section(section: Any, arms: list[Tree]) -> Tree:
    values = {
        arm["label"]: {metric.name: values_of(arm, metric.name) for metric in METRICS}
        for arm in arms
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


def without_nan(value: Any) -> Any:
    """A tree of plain values in which None stands for what is not finite, as JSON needs it."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: without_nan(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(one) for one in value]
    return value
