"""What a branch of predictions is trained with."""

from .base import Loss
from .box_losses import L1CIoULoss, L1DIoULoss, L1GIoULoss
from .build import build_criteria
from .class_loss import ClassLoss
from .criterion import Criterion
from .cross_entropy_losses import CrossEntropyLoss, MatchabilityAwareLoss
from .focal_losses import (
    FocalLoss,
    QualityFocalLoss,
    UnweightedVarifocalLoss,
    VarifocalLoss,
)
from .losses import BOX_LOSSES, CLASS_LOSSES, build_losses
from .normalizer import Normalizer
from .quality_losses import CenternessLoss

__all__ = [
    "BOX_LOSSES",
    "CLASS_LOSSES",
    "CenternessLoss",
    "ClassLoss",
    "Criterion",
    "CrossEntropyLoss",
    "FocalLoss",
    "L1CIoULoss",
    "L1DIoULoss",
    "L1GIoULoss",
    "Loss",
    "MatchabilityAwareLoss",
    "Normalizer",
    "QualityFocalLoss",
    "UnweightedVarifocalLoss",
    "VarifocalLoss",
    "build_criteria",
    "build_losses",
]
