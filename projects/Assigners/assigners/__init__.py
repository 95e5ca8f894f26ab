"""Rival label assigners under OneNet's heads and losses; importing this registers them."""

import onenet  # noqa: F401  (before anything of Detectron2, which it makes importable)

# isort: split
from .config import add_assigners_config
from .dynamic import OTA, PAA, POTO, TAL, OneToFew, SimOTA, YOLOv3
from .learned import SAPD, AutoAssign, CornerNet, FreeAnchor, GuidedAnchoring
from .static import ATSS, FCOS, ApproxMaxIoU, CenterNet, MaxIoU

__all__ = [
    "ATSS",
    "FCOS",
    "OTA",
    "PAA",
    "POTO",
    "SAPD",
    "TAL",
    "ApproxMaxIoU",
    "AutoAssign",
    "CenterNet",
    "CornerNet",
    "FreeAnchor",
    "GuidedAnchoring",
    "MaxIoU",
    "OneToFew",
    "SimOTA",
    "YOLOv3",
    "add_assigners_config",
]
