"""OneNet: one-to-one object detection without NMS, and its label-assignment contract.

On a machine without PyTorch there is ``onenet.predict`` alone, which runs exported models.
"""

from .errors import ConfigError, UserError

try:
    import torch as _
except ImportError as error:
    _NO_TORCH: "ImportError | None" = error
else:
    _NO_TORCH = None

if _NO_TORCH is None:
    try:
        from detectron2 import __version__ as _  # noqa: F401 (a bare folder of that name has none)
    except ImportError as error:
        if error.name not in (None, "detectron2"):
            raise  # Detectron2 is there; something that it needs is not
        raise ImportError(
            "onenet needs Detectron2, which is not installed: run `make install`, or install your "
            "own build of it (docs/installation.md)"
        ) from None

    from . import compat  # noqa: F401, I001  (before any other module of Detectron2)

    from . import data  # noqa: F401  (registers datasets)
    from .modeling import backbone  # noqa: F401  (registers backbones)
    from .assignment import ASSIGNER_REGISTRY, Assigner, MinCost, Subsampler, build_assigner
    from .config import add_onenet_config
    from .criterion import Criterion
    from .modeling.heads import DenseHead, build_head
    from .meta_arch import OneNet
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
    "Subsampler",
    "UserError",
    "add_onenet_config",
    "build_assigner",
    "build_head",
]


def __getattr__(name: str):
    if name in __all__:  # what is not there for want of PyTorch
        raise ImportError(
            f"onenet.{name} needs PyTorch and Detectron2 ({_NO_TORCH}): run `make install` "
            "(docs/installation.md); without them there is onenet.predict alone"
        )
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
