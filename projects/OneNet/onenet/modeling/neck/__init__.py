"""What stands between the backbone and the head."""

from .asff import ASFF
from .build import NECKS, build_neck

__all__ = ["ASFF", "NECKS", "build_neck"]
