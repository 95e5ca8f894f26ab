"""What the assigner does in training, in the log."""

from __future__ import annotations

import logging
from typing import Any

import torch
from detectron2.engine import HookBase
from torch import Tensor

from ...inspection.assignment import assignment_statistics
from ..parallel import unwrapped

logger = logging.getLogger(__name__)

PREFIX = "assign/"


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
