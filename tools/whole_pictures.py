"""A trained detector on whole pictures, tile by tile, and how well it does there."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import onenet  # noqa: F401  (makes an old Detectron2 importable)

# isort: split
from detectron2.config import CfgNode
from detectron2.data.detection_utils import annotations_to_instances
from detectron2.structures import Instances
from onenet.data import load_records
from onenet.evaluation import best_f1_threshold, match_detections, merge_matches
from onenet.evaluation.coco import BoxEvaluator
from onenet.evaluation.nms_evaluator import NMS_IOU
from onenet.evaluation.predictor import to_instances
from onenet.predict import Predictor, TiledPredictor, read_image
from onenet.tiles import TileGrid
from onenet.visualization import Scene
from tqdm import tqdm

GRID = TileGrid(size=400, overlap=120)  # more than the largest crown, 108 px


class Outcome(NamedTuple):
    """What a detector does on the pictures of a dataset.

    Attributes:
        metrics: COCO's, of boxes.
        scenes: each picture with its objects and the detections that score ``threshold`` at least.
        threshold: where F1 is highest.
    """

    metrics: dict[str, float]
    scenes: list[Scene]
    threshold: float


def look_at_whole(cfg: CfgNode, dataset: str, name: str, *, nms: bool) -> Outcome:
    """Detect in the whole pictures of a dataset.

    Args:
        cfg: of the detector, with its ``MODEL.WEIGHTS``.
        dataset: registered, of whole pictures.
        name: of the detector, for the scenes.
        nms: suppress in each tile, among as many candidates as in an evaluation.
    """
    predictor = Predictor(with_nms(cfg) if nms else cfg)
    tiled = TiledPredictor(predictor, GRID, partial(tqdm, desc=name, unit="tile"))
    records = load_records(dataset)
    found = [to_instances(tiled(record["file_name"])) for record in records]
    truth = [objects(record) for record in records]
    threshold, _ = best_f1_threshold(
        merge_matches(
            match_detections(
                one.pred_boxes.tensor,
                one.scores,
                one.pred_classes,
                real.gt_boxes.tensor,
                real.gt_classes,
            )
            for one, real in zip(found, truth, strict=True)
        )
    )
    scenes = [
        Scene(
            name,
            np.ascontiguousarray(read_image(record["file_name"])[..., ::-1]),
            real,
            one[one.scores >= threshold],
        )
        for record, one, real in zip(records, found, truth, strict=True)
    ]
    return Outcome(measure(dataset, records, found), scenes, threshold)


def with_nms(cfg: CfgNode) -> CfgNode:
    """The same detector with NMS, for a head of one level: among the top-k of all its samples."""
    cfg = cfg.clone()
    cfg.defrost()
    cfg.MODEL.OneNet.NMS, cfg.MODEL.OneNet.NMS_THRESH = True, NMS_IOU
    cfg.TEST.DETECTIONS_PER_IMAGE = cfg.MODEL.RETINANET.TOPK_CANDIDATES_TEST
    return cfg


def measure(dataset: str, records: Sequence[dict], found: Sequence[Instances]) -> dict[str, float]:
    """COCO's metrics of all detections."""
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints tables
        evaluator = BoxEvaluator(
            dataset, records, max(map(len, found)), distributed=False, use_fast_impl=False
        )
        evaluator.reset()
        evaluator.process(records, [{"instances": one} for one in found])
        return evaluator.evaluate()["bbox"]


def objects(record: dict) -> Instances:
    """The objects that are annotated in a picture, crowds left out."""
    boxes = [one for one in record["annotations"] if not one.get("iscrowd")]
    return annotations_to_instances(boxes, (record["height"], record["width"]))
