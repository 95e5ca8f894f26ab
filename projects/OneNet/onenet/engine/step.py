"""One step of training: losses, gradients and update, without waiting for the device."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from detectron2.engine import SimpleTrainer
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from .losses_read import LossesRead
from .parallel import unwrapped

PRECISIONS = {"float16": torch.float16, "bfloat16": torch.bfloat16}


class Step(SimpleTrainer):
    """Replaces the step of Detectron2's trainers, which fetches the losses every time.

    Losses stay on the device until :attr:`is_read` asks for them; on a CPU they are read at once.

    Args:
        arguments: model, data loader and optimizer, as for Detectron2's trainer.
        num_parts: of the batch, one after the other in memory; the result is that of the whole
            batch.

    Attributes:
        is_read: whether the losses up to an iteration are needed on the host at its end.
    """

    def __init__(self, *arguments: Any, num_parts: int = 1):
        super().__init__(*arguments)
        self.num_parts = num_parts
        self.is_read: Callable[[int], bool] = lambda iteration: True
        self._losses = LossesRead()

    def run_step(self) -> None:
        start = time.perf_counter()
        batch = next(self._data_loader_iter)
        data_time = time.perf_counter() - start

        losses = self._forward_backward(batch) if self.num_parts == 1 else self._in_parts(batch)
        self._losses.add(self.iter, losses, data_time)
        if on_host(losses) or self.is_read(self.iter):
            self._losses.write()
        self._update()

    def _in_parts(self, batch: list[dict]) -> dict[str, Tensor]:
        losses = []
        with unwrapped(self.model).normalizer.in_parts(self.num_parts) as parts:
            for index in range(self.num_parts):
                part = batch[index :: self.num_parts]
                with self._gradients_stay_here(index):
                    losses.append(self._forward_backward(part, is_first=index == 0))
            correction = parts.correction()
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        torch._foreach_mul_(gradients, correction)
        return {name: sum(part[name] for part in losses) * correction for name in losses[0]}

    def _gradients_stay_here(self, index: int) -> AbstractContextManager[None]:
        """Until the last part, when those of all parts go to the other processes together."""
        last = index == self.num_parts - 1
        parallel = isinstance(self.model, DistributedDataParallel)
        return self.model.no_sync() if parallel and not last else nullcontext()

    def _forward_backward(self, part: list[dict], is_first: bool = True) -> dict[str, Tensor]:
        losses = self._forward(part)
        if is_first:  # not before: on a CPU the backward pass takes the memory of what is freed
            self.optimizer.zero_grad()
        self._backward(sum(losses.values()))
        return {name: loss.detach() for name, loss in losses.items()}

    def _forward(self, part: list[dict]) -> dict[str, Tensor]:
        return self.model(part)

    def _backward(self, loss: Tensor) -> None:
        loss.backward()

    def _update(self) -> None:
        self.optimizer.step()


def on_host(losses: dict[str, Tensor]) -> bool:
    """Whether they can be read without waiting."""
    return all(loss.device.type == "cpu" for loss in losses.values())


class AMPStep(Step):
    """The same with the network in half precision.

    ``bfloat16`` has the range of float32. ``float16`` needs gradients that are scaled, whose scale
    adapts; they are unscaled before anything looks at them, so that an optimizer may clip them. A
    fused optimizer then skips a step whose gradients are not finite by itself, on the device; for
    any other the scaler would ask.

    Args:
        arguments, options: as for :class:`Step`.
        device: type of the device.
        precision: one of :data:`PRECISIONS`.
    """

    def __init__(self, *arguments: Any, device: str, precision: torch.dtype, **options: Any):
        super().__init__(*arguments, **options)
        self.device, self.precision = device, precision
        self.grad_scaler = torch.amp.GradScaler(device, enabled=precision == torch.float16)

    def _forward(self, part: list[dict]) -> dict[str, Tensor]:
        with torch.autocast(self.device, dtype=self.precision):
            return self.model(part)

    def _backward(self, loss: Tensor) -> None:
        self.grad_scaler.scale(loss).backward()

    def _update(self) -> None:
        self.grad_scaler.unscale_(self.optimizer)
        self.grad_scaler.step(self.optimizer)
        self.grad_scaler.update()

    def state_dict(self) -> dict[str, Any]:
        """With the scaler's, under the name that Detectron2 gives it."""
        return {**super().state_dict(), "grad_scaler": self.grad_scaler.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore optimizer and scaler; that of another precision stays as it begins."""
        super().load_state_dict(state_dict)
        if self.grad_scaler.is_enabled() and state_dict["grad_scaler"]:
            self.grad_scaler.load_state_dict(state_dict["grad_scaler"])
