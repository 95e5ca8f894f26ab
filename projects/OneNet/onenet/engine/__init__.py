"""Everything around the model: config files, training, checkpoints and programs."""

from ..checkpoint.checkpointer import Checkpointer
from .checks import check_run, check_weights
from .config.saved import config_differences, set_aside
from .hooks.assignment_probe import AssignmentProbe
from .hooks.assignment_statistics import AssignmentStatistics
from .hooks.assignment_time import AssignmentTime
from .hooks.best_checkpoint import BestCheckpoint
from .hooks.initial_weights import InitialWeights
from .hooks.progress import MeanStepTime
from .hooks.resume import LogContinuation, StepSeed
from .launch import count_processes, exit_on_user_error, launch
from .metrics_file import final_results, read_metrics, training_seconds
from .optimizer import build_optimizer
from .setup import setup_cfg, setup_run
from .step import AMPStep, Step
from .trainer import Trainer

__all__ = [
    "AMPStep",
    "AssignmentProbe",
    "AssignmentStatistics",
    "AssignmentTime",
    "BestCheckpoint",
    "Checkpointer",
    "InitialWeights",
    "LogContinuation",
    "MeanStepTime",
    "Step",
    "StepSeed",
    "Trainer",
    "build_optimizer",
    "check_run",
    "check_weights",
    "config_differences",
    "count_processes",
    "exit_on_user_error",
    "final_results",
    "launch",
    "read_metrics",
    "set_aside",
    "setup_cfg",
    "setup_run",
    "training_seconds",
]
