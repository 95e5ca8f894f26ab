"""AP against the NMS threshold and precision against recall, from the detections of a run."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from onenet.data import load_records
from onenet.errors import UserError
from onenet.evaluation.coco import COCO_MAX_DETECTIONS, coco_api, coco_content
from onenet.evaluation.diagnosis import MATCH_IOU
from onenet.files import write_text
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torchvision.ops import batched_nms, box_convert

DETECTIONS = "coco_instances_results.json"
DETECTIONS_NMS = f"nms/{DETECTIONS}"
CURVES = "curves.json"  # beside them
NMS_THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
NO_NMS = 1.0  # no IoU is above it, so that nothing is suppressed

Detections = list[dict[str, Any]]  # in COCO's result format


def detection_curves(
    dataset_name: str, folder: Path, max_detections: int = COCO_MAX_DETECTIONS
) -> dict[str, Any]:
    """The curves of what an evaluation has left.

    It keeps the detections with NMS 0.6 among candidates, but not the candidates. So AP at all NMS
    thresholds is that of NMS among the detections, which have less in them.

    Args:
        dataset_name: registered dataset that was evaluated on.
        folder: of the evaluation's files. The curves are kept in it too, and computed again only
            when the detections are newer, or others count.
        max_detections: of an image that count, best first.

    Returns:
        ``nms_threshold`` and ``ap`` of the same length, of NMS after top-k, the last without NMS;
        ``recall``, ``precision`` and ``precision_nms`` (without and with NMS 0.6 as the evaluation
        has them) at IoU 0.5, the mean over the classes; and ``max_detections``.

    Raises:
        UserError: there are no detections.
    """
    sources, kept = (folder / DETECTIONS, folder / DETECTIONS_NMS), folder / CURVES
    for source in sources:
        if not source.exists():
            raise UserError(f"{source} is missing: evaluate the run again.")
    newest = max(source.stat().st_mtime_ns for source in sources)
    if kept.exists() and kept.stat().st_mtime_ns > newest:
        curves = json.loads(kept.read_text(encoding="utf-8"))
        if curves.get("max_detections") == max_detections:
            return curves
    plain, with_nms = (json.loads(source.read_text(encoding="utf-8")) for source in sources)
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints every step
        truth = coco_api(coco_content(dataset_name, load_records(dataset_name)))
        curves = _measure(truth, plain, with_nms, max_detections)
    write_text(kept, json.dumps(curves))
    return curves


def _measure(
    truth: COCO, detections: Detections, with_nms: Detections, max_detections: int
) -> dict[str, Any]:
    thresholds = [*NMS_THRESHOLDS, NO_NMS]
    precision = {
        threshold: _precision(truth, suppress(detections, threshold), max_detections)
        for threshold in thresholds
    }
    recall_points = COCOeval(truth, iouType="bbox").params.recThrs
    return {
        "max_detections": max_detections,
        "nms_threshold": thresholds,
        "ap": [100 * _mean(precision[threshold]) for threshold in thresholds],
        "recall": recall_points.tolist(),
        "precision": _at_match_iou(precision[NO_NMS]),
        "precision_nms": _at_match_iou(_precision(truth, with_nms, max_detections)),
    }


def suppress(detections: Detections, threshold: float) -> Detections:
    """Class-wise NMS of the detections of many images.

    Args:
        detections: in COCO's result format.
        threshold: IoU above which the detection of lower score goes.
    """
    if threshold >= NO_NMS or not detections:
        return detections
    ids, images = np.unique([one["image_id"] for one in detections], return_inverse=True)
    order = np.argsort(images, kind="stable")
    starts = np.searchsorted(images[order], np.arange(1, len(ids)))
    boxes = torch.tensor([one["bbox"] for one in detections])
    boxes = box_convert(boxes, "xywh", "xyxy")
    scores = torch.tensor([one["score"] for one in detections])
    classes = torch.tensor([one["category_id"] for one in detections])
    kept = []
    for part in np.split(order, starts):
        index = torch.from_numpy(part)
        keep = batched_nms(boxes[index], scores[index], classes[index], threshold)
        kept += index[keep].tolist()
    return [detections[i] for i in kept]


def _precision(truth: COCO, detections: Detections, max_detections: int) -> np.ndarray:
    """Precision (IoU thresholds, recall points, classes) of all sizes; -1 of a class not there."""
    if not detections:
        params = COCOeval(truth, iouType="bbox").params
        return np.zeros((len(params.iouThrs), len(params.recThrs), 1))
    evaluation = COCOeval(truth, truth.loadRes(detections), "bbox")
    evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
    evaluation.params.maxDets = [max_detections]
    evaluation.evaluate()
    evaluation.accumulate()
    return evaluation.eval["precision"][..., 0, 0]


def _mean(precision: np.ndarray) -> float:
    known = precision[precision > -1]
    return float(known.mean()) if known.size else float("nan")


def _at_match_iou(precision: np.ndarray) -> Sequence[float]:
    iou_thresholds = np.linspace(0.5, 0.95, len(precision))
    at = precision[np.argmin(abs(iou_thresholds - MATCH_IOU))]  # (recall points, classes)
    classes = (at > -1).all(axis=0)
    return at[:, classes].mean(axis=1).tolist() if classes.any() else [0.0] * len(at)
