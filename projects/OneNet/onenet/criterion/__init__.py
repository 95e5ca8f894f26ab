"""What a branch of predictions is trained with."""

from .base import Loss
from .box_losses import L1GIoULoss
from .build import build_criteria
from .class_losses import FocalLoss
from .criterion import Criterion
from .normalizer import Normalizer
from .quality_losses import CenternessLoss

__all__ = [
    "CenternessLoss",
    "Criterion",
    "FocalLoss",
    "L1GIoULoss",
    "Loss",
    "Normalizer",
    "build_criteria",
]
