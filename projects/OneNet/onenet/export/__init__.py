"""Turn a checkpoint into a file that runs without this project: ONNX or ``torch.export``."""

from .export import SUFFIXES, export_model
from .graph import DetectionGraph
from .quantization import quantize
from .verify import Verification

__all__ = ["SUFFIXES", "DetectionGraph", "Verification", "export_model", "quantize"]
