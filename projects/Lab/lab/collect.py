"""What the folder of a run says."""

from __future__ import annotations

import json
import math
import os
import platform
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from detectron2.config import CfgNode
from onenet.engine.metrics_file import (
    final_results,
    read_metrics,
    trained_iterations,
    training_seconds,
)
from onenet.evaluation.coco import counted_detections

from .columns import run_metrics
from .console import FAILURE, read_failure
from .detection_curves import detection_curves
from .experiment import Run
from .results import FAILED, FINISHED, MISSING, Tree

MACHINE = "machine.txt"  # in the folder of a run that was trained on another machine than this
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
    "assign/positives_outside": "positives outside of their object, share",
    "dynamics/moved": "positives that moved since the last evaluation, share",
    "dynamics/positive_iou": "IoU at the positives",
    "dynamics/positive_score": "score at the positives",
    "dynamics/off_center": "distance of positives from the centre; border: 1",
    "dynamics/class_cost": "class cost of the positives",
    "dynamics/location_cost": "location cost of the positives",
    "dynamics/class_share": "share of the class cost in the choice",
    "dynamics/class_agreement": "class cost alone chooses the same, share",
    "dynamics/location_agreement": "location cost alone chooses the same, share",
    "dynamics/solver_agreement": "argmin and Hungarian choose the same, share",
}
DYNAMICS = "dynamics/"  # whatever else the assignment is said to do, by its own key


def collect_run(run: Run, cfg: CfgNode) -> Tree:
    """Read what a run has left; one that failed or is missing has no metrics.

    Args:
        run: of an experiment.
        cfg: its config.

    Returns:
        Plain values: ``seed folder iterations status``; of a finished run also ``seconds metrics
        history curves histogram``, of a failed one ``tail`` and, if
        known, ``exit_code``.
    """
    records = read_metrics(run.output_dir)
    results = final_results(records, cfg.SOLVER.MAX_ITER)
    tree: Tree = {
        "seed": run.seed,
        "folder": str(run.output_dir),
        "iterations": trained_iterations(records),
    }
    if not results:
        return {**tree, **_why_not(run)}
    folder = run.output_dir / "inference"
    seconds = training_seconds(records)
    return {
        **tree,
        "status": FINISHED,
        "seconds": seconds,
        "metrics": run_metrics(results, records, seconds),
        "history": {
            key: _history(records, key, cfg.SOLVER.MAX_ITER)
            for key in {key for record in records for key in record}
            if key in HISTORY or key.startswith(DYNAMICS)
        },
        "curves": detection_curves(cfg.DATASETS.TEST[0], folder, max_detections(cfg)),
        "histogram": json.loads((folder / "diagnosis.json").read_text())["histogram"],
    }


def history_titles(runs: Iterable[Tree]) -> dict[str, str]:
    """Titles of what runs have logged over training, by key."""
    keys = {key for run in runs for key in run.get("history", ())}
    known = {key: title for key, title in HISTORY.items() if key in keys}
    others = sorted(key for key in keys - known.keys() if key.startswith(DYNAMICS))
    return known | {key: key.removeprefix(DYNAMICS).replace("_", " ") for key in others}


def max_detections(cfg: CfgNode) -> int:
    """How many of an image and class the evaluation of a run counts."""
    return counted_detections(cfg.TEST.DETECTIONS_PER_IMAGE)


def describe_machines(runs: Iterable[Run], device: str) -> str:
    """The machines that the runs name, or else this one, with the device that it trains on."""
    files = (run.output_dir / MACHINE for run in runs)
    named = {file.read_text(encoding="utf-8") for file in files if file.exists()}
    return " | ".join(sorted(named)) or describe_machine(device)


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


def _why_not(run: Run) -> Tree:
    if not (run.output_dir / FAILURE).exists():
        return {"status": MISSING}
    return {"status": FAILED, **read_failure(run.output_dir)}


def _history(records: Iterable[Mapping[str, float]], key: str, max_iter: int) -> list[list[float]]:
    """[iteration counted from 1, value] of a metric; no more points than can be seen."""
    points = [
        [min(r["iteration"] + 1, max_iter), r[key]]
        for r in records
        if key in r and math.isfinite(r[key])
    ]
    step = -(-len(points) // MAX_POINTS) or 1
    return points[::-step][::-1]  # the last one stays
