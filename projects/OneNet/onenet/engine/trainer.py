"""Detectron2's default trainer, with the parts of this project."""

from __future__ import annotations

import torch
from detectron2.config import CfgNode
from detectron2.engine import DefaultTrainer, HookBase
from detectron2.utils import comm
from torch import nn

from ..compat import TrainerStateMixin
from ..evaluation import build_evaluator
from .hooks import AssignmentStatistics
from .optimizer import build_optimizer


class Trainer(TrainerStateMixin, DefaultTrainer):
    """Trains and evaluates what a config describes."""

    @classmethod
    def build_optimizer(cls, cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
        return build_optimizer(cfg, model)

    @classmethod
    def build_evaluator(cls, cfg: CfgNode, dataset_name: str, output_folder: str | None = None):
        return build_evaluator(cfg, dataset_name, output_folder)

    def build_hooks(self) -> list[HookBase]:
        hooks = super().build_hooks()
        if comm.is_main_process():
            # Before the writers, which come last.
            hooks.insert(len(hooks) - 1, AssignmentStatistics())
        return hooks
