"""Everything around the model: config files, training, checkpoints and programs."""

from .checkpoint import Checkpointer
from .checks import check_run, check_weights
from .hooks import AssignmentStatistics
from .launch import exit_on_user_error, launch
from .optimizer import build_optimizer
from .setup import setup_cfg, setup_run
from .trainer import Trainer

__all__ = [
    "AssignmentStatistics",
    "Checkpointer",
    "Trainer",
    "build_optimizer",
    "check_run",
    "check_weights",
    "exit_on_user_error",
    "launch",
    "setup_cfg",
    "setup_run",
]
