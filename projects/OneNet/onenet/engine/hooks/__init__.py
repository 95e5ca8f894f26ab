"""Training hooks."""

from .assignment_probe import AssignmentProbe
from .assignment_time import AssignmentTime
from .best_checkpoint import BestCheckpoint
from .initial_weights import InitialWeights
from .resume import LogContinuation, StepSeed
from .statistics import AssignmentStatistics, MeanStepTime

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
