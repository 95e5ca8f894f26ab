"""How far the training is, and how fast it goes."""

from __future__ import annotations

from detectron2.engine import HookBase

from ..parallel import unwrapped


class MeanStepTime(HookBase):
    """Stores ``mean_time``, the mean of the last steps in seconds; Detectron2 logs their median.

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
    """Sets ``progress`` of every module that has it: 0 in the first step, 1 in the last."""

    def before_train(self) -> None:
        modules = unwrapped(self.trainer.model).modules()
        self._modules = [module for module in modules if hasattr(module, "progress")]

    def before_step(self) -> None:
        for module in self._modules:
            module.progress = self.trainer.iter / max(1, self.trainer.max_iter - 1)
