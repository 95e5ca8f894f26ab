"""Evaluation: COCO metrics without and with NMS, why they differ, and CrowdHuman's metrics."""

from .build import build_evaluator
from .candidates import candidates_offered
from .crowdhuman import CrowdHumanEvaluator
from .diagnosis import (
    Matches,
    diagnose,
    match_detections,
    merge_matches,
    recall_threshold,
    score_histogram,
)
from .nms_evaluator import NMSDiagnosisEvaluator, class_wise_nms
from .predictor import evaluate_predictor

__all__ = [
    "CrowdHumanEvaluator",
    "Matches",
    "NMSDiagnosisEvaluator",
    "build_evaluator",
    "candidates_offered",
    "class_wise_nms",
    "diagnose",
    "evaluate_predictor",
    "match_detections",
    "merge_matches",
    "recall_threshold",
    "score_histogram",
]
