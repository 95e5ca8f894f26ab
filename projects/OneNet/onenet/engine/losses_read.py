"""Losses on their way from the device into the log."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from detectron2.utils import comm
from detectron2.utils.events import EventStorage, get_event_storage
from torch import Tensor


class Diverged(FloatingPointError):
    """A loss is infinite or NaN.

    Attributes:
        iteration: in which it became so, counted from 0.
    """

    def __init__(self, iteration: int, losses: dict[str, float]):
        super().__init__(f"the loss is infinite or NaN at iteration={iteration}: {losses}")
        self.iteration = iteration


class LossesRead:
    """Collects the losses of steps on the device, and writes those of many steps at once.

    What is written is what Detectron2 writes step by step, each under its own iteration:
    ``total_loss``, every loss, and ``data_time``; the mean over all processes, and of the last
    the maximum.
    """

    def __init__(self) -> None:
        self._iterations: list[int] = []
        self._losses: list[Tensor] = []
        self._data_times: list[float] = []
        self._names: list[str] = []

    def add(self, iteration: int, losses: dict[str, Tensor], data_time: float) -> None:
        """Remember a step.

        Args:
            iteration: of the step.
            losses: each (), of the same names in every step.
            data_time: seconds that the step waited for its batch.
        """
        self._names = list(losses)
        self._iterations.append(iteration)
        self._losses.append(torch.stack([loss.detach().float() for loss in losses.values()]))
        self._data_times.append(data_time)

    def write(self) -> None:
        """Put all steps since the last call into the event storage, by one transfer.

        All processes call it at the same iterations.

        Raises:
            Diverged: a loss is not finite. Only in the main process.
        """
        local = torch.stack(self._losses).tolist(), self._data_times
        steps, names = self._iterations, self._names
        self._iterations, self._losses, self._data_times = [], [], []
        everywhere = comm.gather(local)
        if not comm.is_main_process():
            return
        losses, data_times = zip(*everywhere, strict=True)
        storage = get_event_storage()
        for index, iteration in enumerate(steps):
            values = (_mean(x) for x in zip(*(process[index] for process in losses), strict=True))
            with at_iteration(storage, iteration):
                storage.put_scalar("data_time", max(times[index] for times in data_times))
                _put(storage, iteration, dict(zip(names, values, strict=True)))


@contextmanager
def at_iteration(storage: EventStorage, iteration: int) -> Iterator[None]:
    """Within, what is put into the storage belongs to an earlier iteration."""
    now, storage.iter = storage.iter, iteration
    try:
        yield
    finally:
        storage.iter = now


def _put(storage: EventStorage, iteration: int, losses: dict[str, float]) -> None:
    total = sum(losses.values())
    if not math.isfinite(total):
        raise Diverged(iteration, losses)
    storage.put_scalar("total_loss", total)
    if len(losses) > 1:
        storage.put_scalars(**losses)


def _mean(values: tuple[float, ...]) -> float:
    return sum(values) / len(values)
