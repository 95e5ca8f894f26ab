"""From a config to its evaluator."""

import os

from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from detectron2.evaluation import DatasetEvaluator, DatasetEvaluators

from .crowdhuman import CrowdHumanEvaluator
from .nms_evaluator import NMSDiagnosisEvaluator
from .tiled_detector import max_detections


def build_evaluator(
    cfg: CfgNode, dataset_name: str, output_folder: str | None = None
) -> DatasetEvaluator:
    """Build the evaluator of a dataset; for ``DefaultTrainer.build_evaluator``.

    Every dataset has :class:`NMSDiagnosisEvaluator`, and one of the ``evaluator_type``
    "crowdhuman" its own metrics beside that.

    Args:
        cfg: reads ``OUTPUT_DIR``, ``DATASETS.TEST``, ``TEST.DETECTIONS_PER_IMAGE`` and those of
            tiles.
        dataset_name: a registered dataset with boxes, whether it came from a COCO json or not.
        output_folder: where its files go. By default inference/ in ``OUTPUT_DIR``; with several
            test datasets a folder for each therein, so that they do not overwrite each other.
    """
    if output_folder is None:
        output_folder = os.path.join(cfg.OUTPUT_DIR, "inference")
        if len(cfg.DATASETS.TEST) > 1:
            output_folder = os.path.join(output_folder, dataset_name)
    evaluator = NMSDiagnosisEvaluator(
        dataset_name, output_folder, max_detections=max_detections(cfg, dataset_name)
    )
    if MetadataCatalog.get(dataset_name).get("evaluator_type") != "crowdhuman":
        return evaluator
    return DatasetEvaluators([evaluator, CrowdHumanEvaluator(dataset_name)])
