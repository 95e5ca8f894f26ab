"""Gradient accumulation that equals the big batch."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from detectron2.engine import AMPTrainer, SimpleTrainer
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ..criterion import local_normalizer, share_of_all
from ..errors import UserError
from ..structures import Assignment, GroundTruth
from .hooks import unwrapped
from .stages import STAGES_DIFFER


class PartialNormalizer:
    """Stands in for the denominator of the losses while only a part of the batch is known.

    Losses are sums over objects divided by a number that the assignments of the whole batch give.
    Until the last part is there they are divided by the number of images instead; then
    :meth:`correction` tells by what factor that was wrong.

    Args:
        num_images: of this process in the step; the same on all processes.
    """

    def __init__(self, num_images: int):
        self.num_images = num_images
        self._local: list[Tensor] = []

    def __call__(self, assignment: Assignment, gt: GroundTruth) -> Tensor:
        """The denominator for now, () float32."""
        local = local_normalizer(assignment, gt)
        self._local.append(local)
        return torch.full_like(local, self.num_images)

    def correction(self, num_parts: int) -> Tensor:
        """What to multiply losses and gradients with, () float32; talks to the other processes.

        Args:
            num_parts: how many parts there were. Each has the same number of prediction stages.

        Raises:
            UserError: stages differ in their denominators, so that one factor does not do, and
                :func:`.stages.check_stages` did not see it coming.
        """
        stages = share_of_all(torch.stack(self._local).view(num_parts, -1).sum(dim=0))
        if len(stages) > 1 and len(set(stages.tolist())) > 1:
            raise UserError(STAGES_DIFFER.format(parts=num_parts, name=""))
        return self.num_images / stages[0]


@contextmanager
def one_normalizer(model: nn.Module, num_images: int) -> Iterator[PartialNormalizer]:
    """Let everything that ``model.criterion`` sees in this context share one denominator."""
    criterion = model.criterion
    usual, criterion.normalizer = criterion.normalizer, PartialNormalizer(num_images)
    try:
        yield criterion.normalizer
    finally:
        criterion.normalizer = usual


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
        with one_normalizer(unwrapped(self.model), len(batch)) as normalizer:
            for index in range(self.num_parts):
                part = batch[index :: self.num_parts]
                with self._gradients_stay_here(index):
                    losses.append(self._forward_backward(part))
            correction = normalizer.correction(self.num_parts)
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
