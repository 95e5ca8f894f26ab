"""Dense prediction heads, one module each."""

from .base import DenseHead
from .build import HEADS, build_head
from .corner import CornerNetHead
from .fcos import FCOSHead
from .retinanet import RetinaNetHead
from .single_level import SingleLevelHead

__all__ = [
    "HEADS",
    "CornerNetHead",
    "DenseHead",
    "FCOSHead",
    "RetinaNetHead",
    "SingleLevelHead",
    "build_head",
]
