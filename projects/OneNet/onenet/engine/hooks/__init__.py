"""Training hooks."""

from .assignment_probe import AssignmentProbe
from .assignment_statistics import AssignmentStatistics
from .assignment_time import AssignmentTime
from .best_checkpoint import BestCheckpoint
from .initial_weights import InitialWeights
from .progress import MeanStepTime
from .resume import LogContinuation, StepSeed

__all__ = [
    "AssignmentProbe",
    "AssignmentStatistics",
    "AssignmentTime",
    "BestCheckpoint",
    "InitialWeights",
    "LogContinuation",
    "MeanStepTime",
    "StepSeed",
]
