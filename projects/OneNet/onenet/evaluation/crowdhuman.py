"""Evaluation on CrowdHuman, and on any dataset of one class with ignore regions."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
from detectron2.evaluation import DatasetEvaluator
from detectron2.structures import BoxMode
from detectron2.utils import comm

from onenet.data import load_records
from onenet.errors import UserError

from .crowdhuman_metrics import IGNORED, TRUE, Scored, crowdhuman_metrics, match_image, pool

logger = logging.getLogger(__name__)

TASK = "crowdhuman"


class CrowdHumanEvaluator(DatasetEvaluator):
    """Evaluate all detections that the model returns, however many, on a dataset of one class.

    Results have the task ``crowdhuman`` with the metrics of :func:`crowdhuman_metrics`.
    Annotations with ``iscrowd`` are the ignore regions. Ground truths are clipped to the image, as
    detections are.

    Args:
        dataset_name: registered detection dataset with annotations.
        distributed: collect from all processes; else evaluate what this one has processed.
    """

    def __init__(self, dataset_name: str, *, distributed: bool = True) -> None:
        self._dataset_name = dataset_name
        self._distributed = distributed
        self._ground_truth = _load_ground_truth(dataset_name)
        self._scored: list[Scored] = []

    def reset(self) -> None:
        self._scored = []

    def process(self, inputs: list[dict[str, Any]], outputs: list[dict[str, Any]]) -> None:
        for image, output in zip(inputs, outputs, strict=True):
            if image["image_id"] not in self._ground_truth:
                raise UserError(
                    f"Image {image['image_id']!r} is not in dataset {self._dataset_name!r}: "
                    "evaluate with the dataset that the images were loaded from."
                )
            people, regions = self._ground_truth[image["image_id"]]
            found = output["instances"].to("cpu")
            scores = found.scores.double().numpy()
            best_first = np.argsort(-scores, kind="stable")
            boxes = found.pred_boxes.tensor.double().numpy()[best_first]
            outcome = match_image(boxes, people, regions)
            counted = outcome != IGNORED
            self._scored.append(
                Scored(scores[best_first][counted], outcome[counted] == TRUE, len(people), 1)
            )

    def evaluate(self) -> dict[str, dict[str, float]]:
        """Evaluate; every process must call it, only the main one gets results."""
        scored = pool(self._scored)
        if self._distributed:
            gathered = comm.gather(scored, dst=0)
            if not comm.is_main_process():
                return {}
            scored = pool(gathered)
        metrics = crowdhuman_metrics(scored)
        logger.info(
            "Evaluation of %s as CrowdHuman's toolkit does it: AP50 %.2f, mMR %.2f, recall %.2f",
            self._dataset_name,
            *metrics.values(),
        )
        return {TASK: metrics}


def _load_ground_truth(dataset_name: str) -> dict[Any, tuple[np.ndarray, np.ndarray]]:
    """People and ignore regions of every image, each (n, 4) x1 y1 x2 y2 pixels inside the image."""
    ground_truth = {}
    for image in load_records(dataset_name):
        boxes: dict[bool, list] = {False: [], True: []}
        for one in image["annotations"]:
            box = BoxMode.convert(one["bbox"], one["bbox_mode"], BoxMode.XYXY_ABS)
            boxes[bool(one.get("iscrowd"))].append(box)
        limits = np.array([image["width"], image["height"]] * 2, float)
        people, regions = (
            np.array(boxes[ignored], float).reshape(-1, 4).clip(0, limits)
            for ignored in (False, True)
        )
        ground_truth[image["image_id"]] = people, regions
    return ground_truth
