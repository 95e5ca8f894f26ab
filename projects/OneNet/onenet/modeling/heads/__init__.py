"""Dense prediction heads, one module each."""

from .base import DenseHead
from .build import HEADS, build_head
from .fcos import FCOSHead
from .retinanet import RetinaNetHead
from .single_level import SingleLevelHead

__all__ = [
    "HEADS",
    "DenseHead",
    "FCOSHead",
    "RetinaNetHead",
    "SingleLevelHead",
    "build_head",
]
