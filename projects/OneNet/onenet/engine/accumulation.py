"""Gradient accumulation that equals the big batch."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from detectron2.engine import AMPTrainer, SimpleTrainer
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from .parallel import unwrapped


class _Accumulation:
    """Replaces the step of Detectron2's trainers; in front of one of them.

    Args:
        num_parts: of the batch, one after the other in memory.
        arguments, options: of Detectron2's trainer.
    """

    def __init__(self, *arguments: Any, num_parts: int, **options: Any):
        super().__init__(*arguments, **options)
        self.num_parts = num_parts

    def run_step(self) -> None:
        start = time.perf_counter()
        batch = next(self._data_loader_iter)
        data_time = time.perf_counter() - start

        self.optimizer.zero_grad()
        losses = []
        with unwrapped(self.model).normalizer.in_parts(self.num_parts) as parts:
            for index in range(self.num_parts):
                part = batch[index :: self.num_parts]
                with self._gradients_stay_here(index):
                    losses.append(self._forward_backward(part))
            correction = parts.correction()
        for parameter in self.model.parameters():
            if parameter.grad is not None:
                parameter.grad.mul_(correction)

        whole = {name: sum(part[name] for part in losses) * correction for name in losses[0]}
        self._write_metrics(whole, data_time)
        self._update()

    def _gradients_stay_here(self, index: int) -> AbstractContextManager[None]:
        """Until the last part, when those of all parts go to the other processes together."""
        last = index == self.num_parts - 1
        parallel = isinstance(self.model, DistributedDataParallel)
        return self.model.no_sync() if parallel and not last else nullcontext()

    def _forward_backward(self, part: list[dict]) -> dict[str, Tensor]:
        losses = self.model(part)
        sum(losses.values()).backward()
        return {name: loss.detach() for name, loss in losses.items()}

    def _update(self) -> None:
        self.optimizer.step()


class AccumulatingTrainer(_Accumulation, SimpleTrainer):
    """Detectron2's ``SimpleTrainer``, which takes the batch of a step in several parts."""


class AccumulatingAMPTrainer(_Accumulation, AMPTrainer):
    """Detectron2's ``AMPTrainer``, which takes the batch of a step in several parts."""

    def _forward_backward(self, part: list[dict]) -> dict[str, Tensor]:
        # Main has a choice of precisions.
        with torch.autocast("cuda", dtype=getattr(self, "precision", torch.float16)):
            losses = self.model(part)
        self.grad_scaler.scale(sum(losses.values())).backward()
        return {name: loss.detach() for name, loss in losses.items()}

    def _update(self) -> None:
        self.grad_scaler.step(self.optimizer)
        self.grad_scaler.update()
