"""Which samples are trained towards which ground truths."""

from .assigner import ASSIGNER_REGISTRY, Assigner, build_assigner
from .best_score import BestScore
from .explanation import Condition, Explanation
from .min_cost import MinCost
from .sampling import OHEM, HardNegatives, IoUBalancedSampling, RandomSampling
from .soft_targets import IoUTargets
from .subsampling import IgnoreRegions, Subsampler

__all__ = [
    "ASSIGNER_REGISTRY",
    "OHEM",
    "Assigner",
    "BestScore",
    "Condition",
    "Explanation",
    "HardNegatives",
    "IgnoreRegions",
    "IoUBalancedSampling",
    "IoUTargets",
    "MinCost",
    "RandomSampling",
    "Subsampler",
    "build_assigner",
]
