"""Training hooks."""

from __future__ import annotations

import logging
from typing import Any

import torch
from detectron2.engine import HookBase
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ...inspection.statistics import assignment_statistics

logger = logging.getLogger(__name__)

PREFIX = "assign/"


def unwrapped(model: nn.Module) -> nn.Module:
    """The model itself, where it is one of several parallel copies."""
    return model.module if isinstance(model, DistributedDataParallel) else model


class MeanStepTime(HookBase):
    """Puts ``mean_time``, the mean of the last steps in seconds; Detectron2 logs their median.

    Where steps are not alike, as with ``INPUT.ONE_SIZE_PER_BATCH``, only means add up to the whole.

    Args:
        window: how many steps; those from one line of the log to the next.
    """

    def __init__(self, window: int = 20):
        self.window = window

    def after_step(self) -> None:
        storage = self.trainer.storage
        if "time" in storage.histories():  # Detectron2 does not count the first steps
            mean = storage.history("time").avg(self.window)
            storage.put_scalar("mean_time", mean, smoothing_hint=False)


class TrainingProgress(HookBase):
    """Tells every module that has an attribute ``progress`` how much of the training is done.

    It is 0 in the first step and 1 in the last.
    """

    def before_train(self) -> None:
        modules = unwrapped(self.trainer.model).modules()
        self._modules = [module for module in modules if hasattr(module, "progress")]

    def before_step(self) -> None:
        for module in self._modules:
            module.progress = self.trainer.iter / max(1, self.trainer.max_iter - 1)


class AssignmentStatistics(HookBase):
    """Describes what the assigner did, every so often, in the log and in the event storage.

    It observes the criterion of the branch that inference uses, and of an accumulated batch the
    first part. Other iterations cost nothing.

    Args:
        period: iterations from one description to the next; the last iteration has one too.
    """

    def __init__(self, period: int = 20):
        self.period = period
        self._statistics: dict[str, Tensor] = {}

    def before_step(self) -> None:
        iteration = self.trainer.iter + 1
        if iteration % self.period == 0 or iteration == self.trainer.max_iter:
            unwrapped(self.trainer.model).criterion.observers.append(self._describe)

    def _describe(self, *arguments: Any) -> None:
        if not self._statistics:
            self._statistics = assignment_statistics(*arguments)

    def after_step(self) -> None:
        observers = unwrapped(self.trainer.model).criterion.observers
        if self._describe in observers:
            observers.remove(self._describe)
        if not self._statistics:
            return
        # One transfer for all of them.
        values = torch.stack([value.float() for value in self._statistics.values()]).tolist()
        named = dict(zip(self._statistics, values, strict=True))
        self._statistics = {}
        for name, value in named.items():
            self.trainer.storage.put_scalar(PREFIX + name, value)
        described = "  ".join(
            f"{name.replace('_', ' ')} {value:.3f}" for name, value in named.items()
        )
        logger.info("assignment: %s", described)
