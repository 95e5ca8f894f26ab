"""The metrics of a run that are compared: where each is from, and how it is told."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from onenet.engine.hooks.assignment_time import NAME as ASSIGNMENT_TIME
from onenet.engine.metrics_file import trained_iterations

LAST_PART = 0.25  # of training, over which what a batch says is averaged


@dataclass(frozen=True)
class Metric:
    """A number that a run ends with.

    Attributes:
        name: in results.json.
        title: of its column.
        meaning: in a line.
        digits: after the point.
        key: under which an evaluation logs it; "" if it is computed.
        signed: whether a plus sign tells something.
    """

    name: str
    title: str
    meaning: str
    digits: int = 1
    key: str = ""
    signed: bool = False

    def format(self, value: float | None) -> str:
        """The value for a table; an en dash where there is none."""
        if value is None or math.isnan(value):
            return "–"
        return f"{value:+.{self.digits}f}" if self.signed else f"{value:.{self.digits}f}"


_AP = {
    "AP": "AP, IoU 0.50 to 0.95",
    "AP50": "AP at IoU 0.50",
    "AP75": "AP at IoU 0.75",
    "APs": "AP of small objects",
    "APm": "AP of medium objects",
    "APl": "AP of large objects",
}

METRICS = (
    *(
        Metric(name, name, f"{meaning}, without NMS", key=f"bbox/{name}")
        for name, meaning in _AP.items()
    ),
    *(
        Metric(f"{name}_nms", f"{name} NMS", f"{meaning}, with NMS 0.6", key=f"bbox_nms/{name}")
        for name, meaning in _AP.items()
    ),
    Metric(
        "nms_gap", "NMS gap", "AP with NMS minus AP without",
        key="nms_diagnosis/nms_gap", signed=True,
    ),
    Metric("kept", "kept %", "AP without NMS in percent of AP with NMS", digits=0),
    Metric(
        "duplicates", "dup.", "detections per found ground truth at recall 0.6; 1 is perfect",
        digits=2, key="nms_diagnosis/duplicates",
    ),
    Metric(
        "score_gap", "score gap", "best minus second-best score on a ground truth",
        digits=2, key="nms_diagnosis/score_gap",
    ),
    Metric(
        "missed", "missed %",
        "objects found with NMS (and without a selector) but not as trained, percent of all",
        key="objects/missed",
    ),
    Metric(
        "lower_score", "lower %",
        "objects found by both, as trained below more false detections, percent of all",
        key="objects/lower_score",
    ),
    Metric(
        "deleted", "deleted %", "objects found as trained that NMS deletes, percent of all",
        key="objects_nms/deleted",
    ),
    Metric(
        "max_score", "max score", "highest score of all detections",
        digits=2, key="nms_diagnosis/max_score",
    ),
    Metric(
        "positives_per_gt", "pos. / gt",
        "positive samples per ground truth, mean over the last quarter of training", digits=2,
    ),
    Metric("step_seconds", "s / step", "seconds of a training step, mean", digits=3),
    Metric(
        "assignment_share", "assign. %", "share of label assignment in the step, percent", digits=2
    ),
)  # fmt: skip

BY_NAME = {metric.name: metric for metric in METRICS}


def run_metrics(
    results: Mapping[str, float], records: list[Mapping[str, float]], seconds: float
) -> dict[str, float | None]:
    """The numbers of a finished run.

    Args:
        results: of the evaluation at the end.
        records: all that the run has logged, in order.
        seconds: that went into training steps.

    Returns:
        Name of a metric -> value; None where it was not logged or cannot be computed.
    """
    values = {metric.name: _number(results.get(metric.key)) for metric in METRICS}
    ap, ap_nms = values["AP"], values["AP_nms"]
    values["kept"] = 100 * ap / ap_nms if ap is not None and ap_nms else None
    values["positives_per_gt"] = _mean_at_end(records, "assign/positives_per_gt")
    steps = trained_iterations(records)
    values["step_seconds"] = seconds / steps if steps else None
    values["assignment_share"] = _share(records, ASSIGNMENT_TIME, "time")
    return values


def _number(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else float(value)


def _mean_at_end(records: list[Mapping[str, float]], key: str) -> float | None:
    logged = [r for r in records if key in r]
    last = max((r["iteration"] for r in logged), default=0)
    values = [r[key] for r in logged if r["iteration"] >= (1 - LAST_PART) * last]
    return sum(values) / len(values) if values else None


def _share(records: list[Mapping[str, float]], part: str, whole: str) -> float | None:
    """Percent of ``whole``, both summed over the records that have them."""
    both = [(r[part], r[whole]) for r in records if part in r and whole in r]
    total = sum(value for _, value in both)
    return 100 * sum(value for value, _ in both) / total if total else None
