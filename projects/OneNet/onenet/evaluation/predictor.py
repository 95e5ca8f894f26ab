"""Evaluate a predictor, of an exported model say, as a checkpoint is evaluated."""

from __future__ import annotations

from tempfile import TemporaryDirectory

import torch
from detectron2.structures import Boxes, Instances

from ..data import load_records
from ..errors import UserError
from ..predict import BasePredictor, Detections
from .nms_evaluator import NMSDiagnosisEvaluator


def evaluate_predictor(predictor: BasePredictor, dataset_name: str) -> dict[str, dict[str, float]]:
    """Detect objects in all images of a dataset.

    Args:
        predictor: of any runtime; its ``threshold`` should be 0.
        dataset_name: a registered dataset.

    Returns:
        The results of :class:`NMSDiagnosisEvaluator`.

    Raises:
        UserError: an image cannot be read.
    """
    inputs = load_records(dataset_name)
    with TemporaryDirectory() as folder:
        evaluator = NMSDiagnosisEvaluator(dataset_name, folder, distributed=False)
        evaluator.reset()
        for start in range(0, len(inputs), predictor.batch_size):
            batch = inputs[start : start + predictor.batch_size]
            found = predictor([image["file_name"] for image in batch])
            evaluator.process(batch, [{"instances": to_instances(x)} for x in found])
        return evaluator.evaluate()


def to_instances(found: Detections) -> Instances:
    """The detections as Detectron2's ``Instances``.

    Raises:
        UserError: there was something wrong with the image.
    """
    if found.error:
        raise UserError(found.error)
    return Instances(
        found.image_size,
        pred_boxes=Boxes(torch.from_numpy(found.boxes)),
        scores=torch.from_numpy(found.scores),
        pred_classes=torch.from_numpy(found.classes),
    )
