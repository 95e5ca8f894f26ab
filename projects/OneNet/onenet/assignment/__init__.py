"""Which samples are trained towards which ground truths."""

from .assigner import ASSIGNER_REGISTRY, Assigner, build_assigner
from .best_score import BestScore
from .min_cost import MinCost
from .soft_targets import IoUTargets
from .subsampling import IgnoreRegions, Subsampler

__all__ = [
    "ASSIGNER_REGISTRY",
    "Assigner",
    "BestScore",
    "IgnoreRegions",
    "IoUTargets",
    "MinCost",
    "Subsampler",
    "build_assigner",
]
