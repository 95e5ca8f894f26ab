"""The losses and class targets that a config names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from detectron2.config import CfgNode
from torch import nn

from ..assignment import IgnoreRegions, IoUTargets
from ..errors import choose
from .base import Loss
from .box_losses import L1CIoULoss, L1DIoULoss, L1GIoULoss
from .cross_entropy_losses import CrossEntropyLoss, MatchabilityAwareLoss
from .focal_losses import FocalLoss, QualityFocalLoss, UnweightedVarifocalLoss, VarifocalLoss
from .quality_losses import CenternessLoss

T = TypeVar("T")

CLASS_LOSSES = {
    "focal": FocalLoss,
    "quality_focal": QualityFocalLoss,
    "varifocal": VarifocalLoss,
    "varifocal_unweighted": UnweightedVarifocalLoss,
    "bce": CrossEntropyLoss,
    "mal": MatchabilityAwareLoss,
}
BOX_LOSSES = {"l1_giou": L1GIoULoss, "l1_diou": L1DIoULoss, "l1_ciou": L1CIoULoss}
# Beside what every assignment goes through.
CLASS_TARGETS = {"assigned": [], "iou": [IoUTargets]}


def build_losses(cfg: CfgNode) -> list[Loss]:
    """The losses of ``MODEL.OneNet``: of the classes, the boxes and the quality.

    Raises:
        ConfigError: there is none of that name.
    """
    onenet = cfg.MODEL.OneNet
    return [
        _named("CLASS_LOSS", onenet.CLASS_LOSS, CLASS_LOSSES)(cfg),
        _named("BOX_LOSS", onenet.BOX_LOSS, BOX_LOSSES)(cfg),
        CenternessLoss(weight=onenet.CENTERNESS_WEIGHT),
    ]


def build_subsamplers(cfg: CfgNode) -> list[nn.Module]:
    """What ``MODEL.OneNet`` does to assignments: ignored samples leave, class targets change.

    Raises:
        ConfigError: there are no targets of that name.
    """
    targets = _named("CLASS_TARGET", cfg.MODEL.OneNet.CLASS_TARGET, CLASS_TARGETS)
    return [IgnoreRegions(), *(make() for make in targets)]


def _named(key: str, name: str, valid: Mapping[str, T]) -> T:
    return valid[choose(f"MODEL.OneNet.{key}", name, valid)]
