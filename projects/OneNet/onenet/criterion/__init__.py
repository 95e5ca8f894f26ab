"""What a branch of predictions is trained with."""

from .base import Loss
from .box_losses import L1CIoULoss, L1DIoULoss, L1GIoULoss
from .build import build_criteria, build_criterion, rule_names
from .class_loss import ClassLoss
from .criterion import Criterion
from .cross_entropy_losses import CrossEntropyLoss, MatchabilityAwareLoss
from .focal_losses import (
    FocalLoss,
    QualityFocalLoss,
    UnweightedVarifocalLoss,
    VarifocalLoss,
)
from .harmonized_losses import GHMBoxLoss, GHMClassLoss
from .learned import CRITERION_REGISTRY, LearnedCriterion
from .losses import BOX_LOSSES, CLASS_LOSSES, QUALITY_LOSSES, build_losses
from .normalizer import Normalizer
from .quality_losses import CenternessLoss, IoULoss, ObjectnessLoss
from .side_losses import BalancedL1Loss, BoundedIoULoss, SmoothL1Loss
from .subsamplers import SUBSAMPLERS, build_subsamplers

__all__ = [
    "BOX_LOSSES",
    "CLASS_LOSSES",
    "CRITERION_REGISTRY",
    "QUALITY_LOSSES",
    "SUBSAMPLERS",
    "BalancedL1Loss",
    "BoundedIoULoss",
    "CenternessLoss",
    "ClassLoss",
    "Criterion",
    "CrossEntropyLoss",
    "FocalLoss",
    "GHMBoxLoss",
    "GHMClassLoss",
    "IoULoss",
    "L1CIoULoss",
    "L1DIoULoss",
    "L1GIoULoss",
    "LearnedCriterion",
    "Loss",
    "MatchabilityAwareLoss",
    "Normalizer",
    "ObjectnessLoss",
    "QualityFocalLoss",
    "SmoothL1Loss",
    "UnweightedVarifocalLoss",
    "VarifocalLoss",
    "build_criteria",
    "build_criterion",
    "build_losses",
    "build_subsamplers",
    "rule_names",
]
