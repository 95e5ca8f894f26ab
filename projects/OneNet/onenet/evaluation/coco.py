"""COCO's metrics of boxes against a dataset as it is trained on, not against its file."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from detectron2.data import MetadataCatalog
from detectron2.evaluation import COCOEvaluator
from detectron2.structures import BoxMode
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

COCO_MAX_DETECTIONS = 100


def counted_detections(max_detections: int) -> int:
    """How many detections of an image and class AP counts where there are at most so many."""
    return max(COCO_MAX_DETECTIONS, max_detections)


class BoxEvaluator(COCOEvaluator):
    """Detectron2's evaluator of the task ``bbox``, whose AP is 0 where nothing is detected.

    Args:
        dataset_name: registered dataset.
        records: its content, of :func:`~onenet.data.load_records`.
        max_detections: of an image; more than COCO's own 100 count too, in any Detectron2.
        options: other keywords of ``COCOEvaluator``.
    """

    def __init__(
        self,
        dataset_name: str,
        records: Sequence[dict[str, Any]],
        max_detections: int = COCO_MAX_DETECTIONS,
        **options: Any,
    ):
        self._counted = counted_detections(max_detections)
        with _registered(coco_content(dataset_name, records), dataset_name) as name:
            super().__init__(name, tasks=("bbox",), **options)

    def evaluate(self) -> dict[str, dict[str, float]]:
        results = super().evaluate()
        if "bbox" in results and math.isnan(results["bbox"]["AP"]):
            # No detections, which Detectron2 does not evaluate, or nothing to be detected.
            results["bbox"] = self._evaluate_nothing()
        return results

    def _derive_coco_results(
        self, coco_eval: COCOeval | None, *args: Any, **kwargs: Any
    ) -> dict[str, float]:
        if coco_eval is not None and self._counted > COCO_MAX_DETECTIONS:
            _count_more(coco_eval, self._counted)
        return super()._derive_coco_results(coco_eval, *args, **kwargs)

    def _evaluate_nothing(self) -> dict[str, float]:
        nothing = coco_api({**self._coco_api.dataset, "annotations": []})
        evaluation = COCOeval(self._coco_api, nothing, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
        names = self._metadata.thing_classes
        return self._derive_coco_results(evaluation, "bbox", class_names=names)


def _count_more(evaluation: COCOeval, limit: int) -> None:
    """Evaluate again, of at most ``limit`` detections of an image and class."""
    evaluation.params.maxDets = [1, 10, limit]
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    precision = evaluation.eval["precision"][..., 0, -1]  # of all sizes
    known = precision[precision > -1]
    # The one number that pycocotools has for its own limit only.
    evaluation.stats[0] = known.mean() if known.size else -1


def coco_content(
    dataset_name: str, records: Sequence[dict[str, Any]]
) -> dict[str, list[dict[str, Any]]]:
    """Records of boxes in COCO's format, as pycocotools has to have it.

    The ids of images and categories are those of the dataset's file. Annotations are numbered from
    1, because to pycocotools an object of id 0 is never found. Where an annotation has no ``area``,
    it is that of the box.

    Args:
        dataset_name: registered dataset, which has told its classes.
        records: of :func:`~onenet.data.load_records`.
    """
    ids = _category_ids(dataset_name)
    names = MetadataCatalog.get(dataset_name).thing_classes
    content = {
        "images": [{key: one[key] for key in ("height", "width")} for one in records],
        "annotations": [],
        "categories": [{"id": ids[i], "name": name} for i, name in enumerate(names)],
    }
    for image, record in zip(content["images"], records, strict=True):
        image["id"] = record["image_id"]
        for one in record["annotations"]:
            box = BoxMode.convert(list(one["bbox"]), one["bbox_mode"], BoxMode.XYWH_ABS)
            content["annotations"].append(
                {
                    "id": len(content["annotations"]) + 1,
                    "image_id": record["image_id"],
                    "category_id": ids[one["category_id"]],
                    "bbox": [float(value) for value in box],
                    "area": float(one.get("area", box[2] * box[3])),
                    "iscrowd": int(one.get("iscrowd", 0)),
                }
            )
    return content


def _category_ids(dataset_name: str) -> dict[int, int]:
    """Id in the dataset's file of each class; the class itself where there is no file."""
    metadata = MetadataCatalog.get(dataset_name)
    told = metadata.get("thing_dataset_id_to_contiguous_id")
    if told is None:
        return {label: label for label in range(len(metadata.thing_classes))}
    return {label: id_ for id_, label in told.items()}


def coco_api(content: dict[str, list[dict[str, Any]]]) -> COCO:
    """The content as an object of pycocotools, which prints its progress."""
    api = COCO()
    api.dataset = content
    api.createIndex()
    return api


@contextmanager
def _registered(content: dict[str, list[dict[str, Any]]], dataset_name: str) -> Iterator[str]:
    """A name under which ``COCOEvaluator`` finds this content; it reads nothing but files."""
    name = f"boxes of {dataset_name}"
    with TemporaryDirectory() as folder:
        file = Path(folder, "boxes.json")
        file.write_text(json.dumps(content), encoding="utf-8")
        MetadataCatalog.get(name).set(
            json_file=str(file),
            thing_classes=[one["name"] for one in content["categories"]],
            thing_dataset_id_to_contiguous_id={
                one["id"]: label for label, one in enumerate(content["categories"])
            },
        )
        try:
            yield name
        finally:
            MetadataCatalog.pop(name)
