"""The ablation laboratory: train configs that differ in some keys, and report on what differs."""

from .experiment import Arm, Experiment, Run, Section, grid, parse_vary, plan
from .experiment_file import read_experiment, seeds_of
from .laboratory import Laboratory

__all__ = [
    "Arm",
    "Experiment",
    "Laboratory",
    "Run",
    "Section",
    "grid",
    "parse_vary",
    "plan",
    "read_experiment",
    "seeds_of",
]
