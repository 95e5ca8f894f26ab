"""The losses that a config names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from detectron2.config import CfgNode

from ..errors import choose
from .base import Loss
from .box_losses import L1CIoULoss, L1DIoULoss, L1GIoULoss
from .cross_entropy_losses import CrossEntropyLoss, MatchabilityAwareLoss
from .focal_losses import FocalLoss, QualityFocalLoss, UnweightedVarifocalLoss, VarifocalLoss
from .harmonized_losses import GHMBoxLoss, GHMClassLoss
from .quality_losses import (
    CenternessLoss,
    ClassesOfObjects,
    IoULoss,
    ObjectnessLoss,
    QualityLoss,
)
from .side_losses import BalancedL1Loss, BoundedIoULoss, SmoothL1Loss

T = TypeVar("T")

CLASS_LOSSES = {
    "focal": FocalLoss,
    "quality_focal": QualityFocalLoss,
    "varifocal": VarifocalLoss,
    "varifocal_unweighted": UnweightedVarifocalLoss,
    "bce": CrossEntropyLoss,
    "mal": MatchabilityAwareLoss,
    "ghm_c": GHMClassLoss,
}
BOX_LOSSES = {
    "l1_giou": L1GIoULoss,
    "l1_diou": L1DIoULoss,
    "l1_ciou": L1CIoULoss,
    "smooth_l1": SmoothL1Loss,
    "balanced_l1": BalancedL1Loss,
    "bounded_iou": BoundedIoULoss,
    "ghm_r": GHMBoxLoss,
}
QUALITY_LOSSES: dict[str, type[QualityLoss]] = {
    "centerness": CenternessLoss,
    "iou": IoULoss,
    "objectness": ObjectnessLoss,
}


def build_losses(cfg: CfgNode, quality_target: str = "centerness") -> list[Loss]:
    """The losses of ``MODEL.OneNet``: of the classes, the boxes and the quality.

    Args:
        cfg: the config.
        quality_target: what the quality branch tells with ``QUALITY_TARGET "rule"``.

    Raises:
        ConfigError: there is none of that name.
    """
    onenet = cfg.MODEL.OneNet
    target = choose("MODEL.OneNet.QUALITY_TARGET", onenet.QUALITY_TARGET, ("rule", *QUALITY_LOSSES))
    target = quality_target if target == "rule" else target
    class_loss = _named("CLASS_LOSS", onenet.CLASS_LOSS, CLASS_LOSSES)(cfg)
    return [
        ClassesOfObjects(class_loss) if target == "objectness" else class_loss,
        _named("BOX_LOSS", onenet.BOX_LOSS, BOX_LOSSES)(cfg),
        QUALITY_LOSSES[target](weight=onenet.CENTERNESS_WEIGHT),
    ]


def _named(key: str, name: str, valid: Mapping[str, T]) -> T:
    return valid[choose(f"MODEL.OneNet.{key}", name, valid)]
