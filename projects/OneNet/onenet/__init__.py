"""OneNet: one-to-one object detection without NMS, and its label-assignment contract."""

try:
    import detectron2  # noqa: F401
except ImportError as error:
    if error.name not in (None, "detectron2"):
        raise  # Detectron2 is there; something that it needs is not
    raise ImportError(
        "onenet needs Detectron2, which is not installed: run `make install`, or install your own "
        "build of it (docs/installation.md)"
    ) from None

from . import compat  # noqa: F401, I001  (before any other module of Detectron2)

from . import data  # noqa: F401  (registers the digits)
from .assigner import ASSIGNER_REGISTRY, Assigner, build_assigner
from .criterion import Criterion
from .min_cost import MinCost
from .structures import Assignment, GroundTruth, Predictions, Priors

__all__ = [
    "ASSIGNER_REGISTRY",
    "Assigner",
    "Assignment",
    "Criterion",
    "GroundTruth",
    "MinCost",
    "Predictions",
    "Priors",
    "build_assigner",
]
