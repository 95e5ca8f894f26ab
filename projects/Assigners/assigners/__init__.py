"""Rival label assigners under OneNet's heads and losses; importing this registers them."""

import onenet  # noqa: F401  (before anything of Detectron2, which it makes importable)

# isort: split
from .config import add_assigners_config
from .dynamic import POTO, TAL, OneToFew, SimOTA
from .learned import SAPD, AutoAssign, FreeAnchor
from .static import ATSS, FCOS, CenterNet, MaxIoU

__all__ = [
    "ATSS",
    "FCOS",
    "POTO",
    "SAPD",
    "TAL",
    "AutoAssign",
    "CenterNet",
    "FreeAnchor",
    "MaxIoU",
    "OneToFew",
    "SimOTA",
    "add_assigners_config",
]
