"""OneNet: one-to-one object detection without NMS, and its label-assignment contract."""

try:
    from detectron2 import __version__ as _  # noqa: F401 (a bare folder of that name has none)
except ImportError as error:
    if error.name not in (None, "detectron2"):
        raise  # Detectron2 is there; something that it needs is not
    raise ImportError(
        "onenet needs Detectron2, which is not installed: run `make install`, or install your own "
        "build of it (docs/installation.md)"
    ) from None

from . import compat  # noqa: F401, I001  (before any other module of Detectron2)

from . import backbone, data  # noqa: F401  (they register backbones and datasets)
from .assigner import ASSIGNER_REGISTRY, Assigner, build_assigner
from .config import add_onenet_config
from .criterion import Criterion
from .errors import ConfigError, UserError
from .heads import DenseHead, build_head
from .meta_arch import OneNet
from .min_cost import MinCost
from .structures import Assignment, GroundTruth, Predictions, Priors

__all__ = [
    "ASSIGNER_REGISTRY",
    "Assigner",
    "Assignment",
    "ConfigError",
    "Criterion",
    "DenseHead",
    "GroundTruth",
    "MinCost",
    "OneNet",
    "Predictions",
    "Priors",
    "UserError",
    "add_onenet_config",
    "build_assigner",
    "build_head",
]
