"""Dense prediction heads, one module each."""

from .base import DenseHead
from .branches import AUX, DENSE, MAIN
from .build import HEADS, build_head
from .fcos import FCOSHead
from .retinanet import RetinaNetHead
from .single_level import SingleLevelHead

__all__ = [
    "AUX",
    "DENSE",
    "HEADS",
    "MAIN",
    "DenseHead",
    "FCOSHead",
    "RetinaNetHead",
    "SingleLevelHead",
    "build_head",
]
