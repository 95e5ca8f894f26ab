"""How long label assignment takes in each step."""

from __future__ import annotations

import time
from collections import deque

import torch
from detectron2.engine import HookBase
from torch import nn
from torch.utils.hooks import RemovableHandle

from ...criterion import LearnedCriterion
from ..losses_read import at_iteration
from ..parallel import unwrapped
from .assignment_statistics import PREFIX

NAME = PREFIX + "time"
MILLISECONDS = 1000  # in a second


class AssignmentTime(HookBase):
    """Stores the seconds that the model's assigners took in each step, as ``assign/time``.

    All their calls in a step count: for every branch, and every part of an accumulated batch. On a
    GPU they are marked by events in the stream, so that the time is the device's, and read at the
    end of the first step by which they have passed: nothing waits for the device. When losses are
    logged, the device has done all but the update of the last step. To compare with ``time``,
    which Detectron2 stores of the whole step. A :class:`LearnedCriterion` has no such time: it
    assigns only to show it.
    """

    def __init__(self) -> None:
        self._handles: list[RemovableHandle] = []
        self._calls: list[Clock] = []
        self._steps: deque[tuple[int, list[Clock]]] = deque()  # not read yet, with their iterations

    def before_train(self) -> None:
        criteria = unwrapped(self.trainer.model).criteria.values()
        timed = (c.assigner for c in criteria if not isinstance(c, LearnedCriterion))
        for assigner in set(timed):  # branches may share one
            self._handles += [
                assigner.register_forward_pre_hook(self._start),
                assigner.register_forward_hook(self._stop),
            ]

    def before_step(self) -> None:
        self._calls = []

    def _start(self, assigner: nn.Module, arguments: tuple) -> None:
        on_gpu = arguments[1].logits.is_cuda
        self._calls.append(DeviceClock() if on_gpu else HostClock())

    def _stop(self, assigner: nn.Module, arguments: tuple, assignment: object) -> None:
        self._calls[-1].stop()

    def after_step(self) -> None:
        if self._calls:
            self._steps.append((self.trainer.iter, self._calls))
        while self._steps:
            iteration, calls = self._steps[0]
            seconds = [clock.seconds() for clock in calls]
            if None in seconds:
                return
            with at_iteration(self.trainer.storage, iteration):
                self.trainer.storage.put_scalar(NAME, sum(seconds))
            self._steps.popleft()

    def after_train(self) -> None:
        for handle in self._handles:
            handle.remove()


class HostClock:
    """Time on the CPU, from here to :meth:`stop`."""

    def __init__(self) -> None:
        self._started = self._stopped = time.perf_counter()

    def stop(self) -> None:
        self._stopped = time.perf_counter()

    def seconds(self) -> float | None:
        """The time between; None if it cannot be told yet."""
        return self._stopped - self._started


class DeviceClock:
    """Time in the current stream of a GPU; the same methods."""

    def __init__(self) -> None:
        self._started, self._stopped = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        self._started.record()

    def stop(self) -> None:
        self._stopped.record()

    def seconds(self) -> float | None:
        if not self._stopped.query():
            return None
        return self._started.elapsed_time(self._stopped) / MILLISECONDS


Clock = HostClock | DeviceClock
