"""Detect objects in images, by an exported model or by PyTorch.

This package alone of the project needs neither PyTorch nor Detectron2: ``OnnxPredictor`` runs on
NumPy, Pillow and onnxruntime.
"""

from typing import Any

from ..images import read_image
from .base import BasePredictor
from .detections import Detections
from .model_card import ModelCard
from .onnx_predictor import OnnxPredictor
from .tiled_predictor import TiledPredictor

__all__ = [
    "BasePredictor",
    "Detections",
    "ModelCard",
    "OnnxPredictor",
    "Predictor",
    "TiledPredictor",
    "read_image",
]


def __getattr__(name: str) -> Any:
    if name == "Predictor":  # the one that needs PyTorch, which is imported when it is asked for
        from .torch_predictor import Predictor

        return Predictor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
