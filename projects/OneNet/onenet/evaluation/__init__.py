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
from .objects import Comparison, compare_image, compare_objects, merge_comparisons
from .operating_point import best_f1_threshold
from .predictor import evaluate_predictor
from .tiled_detector import TiledDetector, in_tiles, tile_grid

__all__ = [
    "Comparison",
    "CrowdHumanEvaluator",
    "Matches",
    "NMSDiagnosisEvaluator",
    "TiledDetector",
    "best_f1_threshold",
    "build_evaluator",
    "candidates_offered",
    "class_wise_nms",
    "compare_image",
    "compare_objects",
    "diagnose",
    "evaluate_predictor",
    "in_tiles",
    "match_detections",
    "merge_comparisons",
    "merge_matches",
    "recall_threshold",
    "score_histogram",
    "tile_grid",
]
