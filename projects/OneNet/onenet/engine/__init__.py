"""Everything around the model: config files, training, checkpoints and programs."""

from .hooks import AssignmentStatistics
from .optimizer import build_optimizer
from .setup import setup_cfg, setup_run
from .trainer import Trainer

__all__ = ["AssignmentStatistics", "Trainer", "build_optimizer", "setup_cfg", "setup_run"]
