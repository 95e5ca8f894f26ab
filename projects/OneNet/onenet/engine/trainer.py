"""Detectron2's default trainer, with the parts of this project."""

from __future__ import annotations

import weakref
from collections.abc import Iterable

import torch
from detectron2.config import CfgNode
from detectron2.engine import DefaultTrainer, HookBase
from detectron2.utils import comm
from torch import nn
from torch.utils.data import DataLoader

from ..compat import TrainerStateMixin
from ..data import build_test_loader, build_train_loader
from ..evaluation import NMSDiagnosisEvaluator, build_evaluator
from .checkpoint import Checkpointer
from .hooks import AssignmentStatistics, unwrapped
from .initial_weights import InitialWeights
from .optimizer import build_optimizer


class Trainer(TrainerStateMixin, DefaultTrainer):
    """Trains and evaluates what a config describes."""

    @classmethod
    def build_model(cls, cfg: CfgNode) -> nn.Module:
        model = super().build_model(cfg)
        if cfg.SOLVER.CHANNELS_LAST:
            model = model.to(memory_format=torch.channels_last)
        return model

    @classmethod
    def build_optimizer(cls, cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
        return build_optimizer(cfg, model)

    @classmethod
    def build_train_loader(cls, cfg: CfgNode) -> Iterable[list[dict]]:
        return build_train_loader(cfg)

    @classmethod
    def build_test_loader(cls, cfg: CfgNode, dataset_name: str) -> DataLoader:
        return build_test_loader(cfg, dataset_name)

    @classmethod
    def build_evaluator(
        cls, cfg: CfgNode, dataset_name: str, output_folder: str | None = None
    ) -> NMSDiagnosisEvaluator:
        return build_evaluator(cfg, dataset_name, output_folder)

    def build_hooks(self) -> list[HookBase]:
        # The hooks keep the checkpointer, and Detectron2 has no method that builds it.
        self.checkpointer = Checkpointer(
            self.model, self.cfg.OUTPUT_DIR, trainer=weakref.proxy(self)
        )
        hooks = super().build_hooks()
        if comm.is_main_process():
            hooks.insert(0, InitialWeights(self.cfg.OUTPUT_DIR))
        if comm.is_main_process() and hasattr(unwrapped(self.model), "assigner"):
            # Before the writers, which come last.
            hooks.insert(len(hooks) - 1, AssignmentStatistics())
        return hooks
