"""What an evaluation leaves behind: one table in the log, one JSON file."""

import json
import math
import os
from collections.abc import Mapping
from typing import Any

from tabulate import tabulate

from ..files import write_text
from .diagnosis import MATCH_IOU, Matches, score_histogram
from .objects import OVERLAP_IOU

BOX_METRICS = ("AP", "AP50", "AP75", "APs", "APm", "APl")

OUTCOMES = {
    "found": "found",
    "missed": "missed, and found by the other",
    "deleted": "of these, deleted by NMS",
    "twice": "found twice",
    "lower_score": "found by both, lower score",
    "worse_box": "found by both, worse box",
}


def format_summary(
    dataset_name: str, results: Mapping[str, Mapping[str, float]], nms: str, max_detections: int
) -> str:
    """Lay out AP without and with NMS below each other, and the diagnosis in a line.

    Args:
        dataset_name: for the title.
        results: tasks ``bbox``, ``bbox_nms`` and ``nms_diagnosis`` with their metrics.
        nms: the kind of NMS behind ``bbox_nms``.
        max_detections: of an image and class that AP counts.
    """
    rows = {"as trained": results["bbox"], f"with {nms}": results["bbox_nms"]}
    table = tabulate(
        [[name, *(metrics[key] for key in BOX_METRICS)] for name, metrics in rows.items()],
        headers=["", *BOX_METRICS],
        tablefmt="pipe",
        floatfmt=".2f",
    )
    diagnosis = results["nms_diagnosis"]
    line = (
        "NMS gap {nms_gap:+.2f} AP; {duplicates:.2f} detections per found ground truth at "
        "score {score_threshold:.3f}, recall {recall:.2f} (IoU > {iou:g}); "
        "score gap {score_gap:.3f}; highest score {max_score:.3f}"
    ).format(iou=MATCH_IOU, **diagnosis)
    title = (
        f"Evaluation of {dataset_name}, without and with NMS, "
        f"of at most {max_detections} detections an image and class:"
    )
    return f"{title}\n{table}\n{line}"


def format_objects(results: Mapping[str, Mapping[str, float]], nms: str) -> str:
    """Lay out what becomes of the objects without and with NMS.

    Args:
        results: tasks ``objects`` and ``objects_nms`` with their percentages.
        nms: the detector that they were compared with.
    """
    tasks = [results["objects"], results["objects_nms"]]
    groups = {"": "", "-overlapping": "overlapping: "}
    if not tasks[0]["overlapping"] > 0:  # perhaps NaN
        del groups["-overlapping"]
    table = tabulate(
        [
            [title, *(task.get(key + group) for group in groups for task in tasks)]
            for key, title in OUTCOMES.items()
        ],
        headers=["", *(x + name for x in groups.values() for name in ("as trained", "with NMS"))],
        tablefmt="pipe",
        floatfmt=".2f",
    )
    title = (
        "Objects in percent, as trained and with {nms}, down to {false_detections:.0f} "
        "false detections; {overlapping:.1f} % overlap another by IoU > {iou:g}:"
    ).format(nms=nms, iou=OVERLAP_IOU, **tasks[0])
    return f"{title}\n{table}"


def write_diagnosis(
    output_dir: str,
    conditions: Mapping[str, Any],
    diagnosis: Mapping[str, float],
    matches: Matches,
) -> None:
    """Write diagnosis.json: diagnosis, score histograms of first matches and duplicates.

    Args:
        output_dir: folder, made if missing.
        conditions: what was evaluated and how, to be written beside them.
        diagnosis: numbers by name.
        matches: those behind the histograms.

    NaN becomes null, which every JSON reader understands.
    """
    content: dict[str, Any] = {
        **conditions,
        "diagnosis": {k: None if math.isnan(v) else v for k, v in diagnosis.items()},
        "histogram": score_histogram(matches),
    }
    os.makedirs(output_dir, exist_ok=True)
    write_text(os.path.join(output_dir, "diagnosis.json"), json.dumps(content, allow_nan=False))
