"""COCO evaluation of a detector twice, without and with NMS, and the diagnosis between."""

import contextlib
import io
import logging
import math
import os
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch
from detectron2.evaluation import DatasetEvaluator
from detectron2.structures import BoxMode, Instances
from detectron2.utils import comm
from torch import Tensor

from onenet.compat import has_fast_coco_eval
from onenet.data import load_records
from onenet.errors import UserError
from onenet.nms import kept_by_nms

from .coco import COCO_MAX_DETECTIONS, BoxEvaluator, counted_detections
from .diagnosis import diagnose
from .objects import Comparison, compare_image, compare_objects, merge_comparisons
from .summary import BOX_METRICS, format_objects, format_summary, write_diagnosis

logger = logging.getLogger(__name__)

NMS_IOU = 0.6


def class_wise_nms(instances: Instances, iou_threshold: float = NMS_IOU) -> Instances:
    """Suppress detections that a better one of the same class overlaps.

    Args:
        instances: detections with ``pred_boxes``, ``scores`` and ``pred_classes``.
        iou_threshold: a detection goes if its IoU with a kept one is above this.

    Returns:
        Instances: those that stay, best score first.
    """
    boxes = instances.pred_boxes.tensor.float()
    keep = kept_by_nms(boxes, instances.scores.float(), instances.pred_classes, iou_threshold)
    return instances[keep]


class NMSDiagnosisEvaluator(DatasetEvaluator):
    """Measures how much a detector depends on NMS.

    The model is to return its detections without NMS. Results have three tasks: ``bbox``, COCO
    metrics of the detections as they are; ``bbox_nms``, of the same network with NMS; and
    ``nms_diagnosis``, with ``nms_gap`` (AP with NMS minus AP without) and the numbers of
    :func:`~onenet.evaluation.diagnosis.diagnose`. The COCO files of the two go to ``output_dir``
    and ``output_dir``/nms; ``output_dir``/diagnosis.json holds the diagnosis and score histograms.

    NMS is class-wise, among the ``candidates`` that a model returns while
    :func:`~onenet.evaluation.candidates_offered`, as many as RetinaNet has; the best of what is
    left count. RetinaNet's threshold of 0.05 on their scores is left out: it changes AP little and
    saves little time. From a model without candidates, such as an exported one, NMS can but
    suppress among its detections, and a detector with many duplicates has lost objects before. The
    summary says which of the two it is.

    Two tasks more, ``objects`` and ``objects_nms``, say which objects each of the two loses; see
    :func:`~onenet.evaluation.compare_objects`. There, NMS is among the ``dense_candidates`` of a
    model that has a selector: those have the scores that it would be used with otherwise.

    The diagnosis covers the images that were processed and leaves crowd ground truths out.

    Args:
        dataset_name: registered detection dataset with annotations.
        output_dir: folder for the files, made if missing.
        distributed: collect from all processes; else evaluate what this one has processed.
        nms_threshold: IoU of the NMS in ``bbox_nms``.
        max_detections: of an image, which the model has and which are left of its candidates
            after NMS. All count, of a class 100 at least.
    """

    def __init__(
        self,
        dataset_name: str,
        output_dir: str,
        *,
        distributed: bool = True,
        nms_threshold: float = NMS_IOU,
        max_detections: int = COCO_MAX_DETECTIONS,
    ) -> None:
        self._dataset_name = dataset_name
        self._output_dir = output_dir
        self._distributed = distributed
        self._nms_threshold = nms_threshold
        self._max_detections = max_detections
        records = load_records(dataset_name)
        self._ground_truth = _ground_truth(records)
        self._as_trained, self._with_nms = (
            BoxEvaluator(
                dataset_name,
                records,
                max_detections,
                distributed=distributed,
                output_dir=folder,
                use_fast_impl=has_fast_coco_eval(),
            )
            for folder in (output_dir, os.path.join(output_dir, "nms"))
        )
        self._counted = counted_detections(max_detections)
        self._objects: list[Comparison] = []
        self._among_candidates = True
        self._without_selector = False

    def reset(self) -> None:
        self._as_trained.reset()
        self._with_nms.reset()
        self._objects = []
        self._among_candidates = True
        self._without_selector = False

    def process(self, inputs: list[dict[str, Any]], outputs: list[dict[str, Any]]) -> None:
        detections = [output["instances"].to("cpu") for output in outputs]
        suppressed = [self._suppress(output).to("cpu") for output in outputs]
        self._as_trained.process(inputs, [{"instances": x} for x in detections])
        self._with_nms.process(inputs, [{"instances": x} for x in suppressed])
        images = zip(inputs, outputs, detections, suppressed, strict=True)
        self._objects += [self._compare(image["image_id"], *found) for image, *found in images]

    def _suppress(self, output: dict[str, Instances], name: str = "candidates") -> Instances:
        if name in output:
            return class_wise_nms(output[name], self._nms_threshold)[: self._max_detections]
        self._among_candidates = False
        return class_wise_nms(output["instances"], self._nms_threshold)

    def _compare(
        self, image_id: Any, output: dict[str, Instances], found: Instances, left: Instances
    ) -> Comparison:
        if image_id not in self._ground_truth:
            raise UserError(
                f"Image {image_id!r} is not in dataset {self._dataset_name!r}: evaluate with the "
                "dataset that the images were loaded from."
            )
        offered = output.get("candidates", output["instances"])
        if "dense_candidates" in output:
            offered = output["dense_candidates"]
            left = self._suppress(output, "dense_candidates").to("cpu")
            self._without_selector = True
        return compare_image(found, left, offered.to("cpu"), *self._ground_truth[image_id])

    def evaluate(self) -> dict[str, dict[str, float]]:
        """Evaluate; every process must call it, only the main one gets results."""
        bbox = _evaluate_quietly(self._as_trained)
        bbox_nms = _evaluate_quietly(self._with_nms, log_level=logging.ERROR)
        objects = self._gather_objects()
        if self._distributed and not comm.is_main_process():
            return {}
        # The APs of the classes are reported only without NMS.
        bbox_nms = {name: bbox_nms[name] for name in BOX_METRICS}
        diagnosis = {"nms_gap": bbox_nms["AP"] - bbox["AP"], **diagnose(objects.without)}
        results = OrderedDict(bbox=bbox, bbox_nms=bbox_nms, nms_diagnosis=diagnosis)
        results.update(compare_objects(objects))
        nms = f"NMS {self._nms_threshold:g}" + ("" if self._among_candidates else " after top-k")
        conditions = {"nms": nms, "max_detections": self._counted}
        logger.info(format_summary(self._dataset_name, results, **conditions))
        selector = ", without the selector" if self._without_selector else ""
        logger.info(format_objects(results, nms + selector))
        conditions["dataset"] = self._dataset_name
        write_diagnosis(self._output_dir, conditions, diagnosis, objects.without)
        return results

    def _gather_objects(self) -> Comparison:
        objects = merge_comparisons(self._objects)
        return merge_comparisons(comm.gather(objects, dst=0)) if self._distributed else objects


def _ground_truth(records: Sequence[dict[str, Any]]) -> dict[Any, tuple[Tensor, Tensor]]:
    """Boxes (G, 4) in x1 y1 x2 y2 pixels and classes (G,) of every image, by image id."""
    ground_truth = {}
    for image in records:
        objects = [x for x in image["annotations"] if not x.get("iscrowd")]
        boxes = [BoxMode.convert(x["bbox"], x["bbox_mode"], BoxMode.XYXY_ABS) for x in objects]
        classes = [x["category_id"] for x in objects]
        ground_truth[image["image_id"]] = (
            torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
            torch.tensor(classes, dtype=torch.int64),
        )
    return ground_truth


def _evaluate_quietly(evaluator: BoxEvaluator, log_level: int = logging.NOTSET) -> dict[str, float]:
    """Evaluate without the tables that pycocotools prints; metrics it cannot give are NaN.

    Args:
        evaluator: to be run.
        log_level: least severity of what Detectron2's evaluators may log meanwhile.
    """
    # Set on the parent: each evaluator module has a logger of its own below it.
    coco_logger = logging.getLogger("detectron2.evaluation")
    previous_level = coco_logger.level
    coco_logger.setLevel(max(previous_level, log_level))
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            results = evaluator.evaluate()
    finally:
        coco_logger.setLevel(previous_level)
    return (results or {}).get("bbox") or dict.fromkeys(BOX_METRICS, math.nan)
