"""Dense prediction heads, one module each."""

from .base import DenseHead
from .build import HEADS, build_head
from .single_level import SingleLevelHead

__all__ = ["HEADS", "DenseHead", "SingleLevelHead", "build_head"]
