"""What the assigner does in training, in the log."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

import torch
from detectron2.engine import HookBase
from torch import Tensor

from ...inspection.advice import advice
from ...inspection.assignment import assignment_statistics
from ..parallel import unwrapped

logger = logging.getLogger(__name__)

PREFIX = "assign/"
ADVISE_BY = 5  # descriptions, whose mean a warning rests on


class AssignmentStatistics(HookBase):
    """Describes what the assigner did, every so often, in the log and in the event storage.

    It observes the criterion of the branch that inference uses, and of an accumulated batch the
    first part. Other iterations cost nothing. What :func:`onenet.inspection.advice.advice` says of
    the last descriptions is warned of once.

    Args:
        period: iterations from one description to the next; the last iteration has one too.
    """

    def __init__(self, period: int = 20):
        self.period = period
        self._statistics: dict[str, Tensor] = {}
        self._advised: set[str] = set()

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
        self._advise(named)

    def _advise(self, names: Iterable[str]) -> None:
        recent = {name: self.trainer.storage.history(PREFIX + name) for name in names}
        if min(len(history.values()) for history in recent.values()) < ADVISE_BY:
            return
        means = {name: history.avg(ADVISE_BY) for name, history in recent.items()}
        for name, line in advice(means, unwrapped(self.trainer.model).criterion.assigner).items():
            if name not in self._advised:
                self._advised.add(name)
                logger.warning("assignment: %s", line)
