"""What makes an interrupted run go on as if it had not been."""

from __future__ import annotations

import os
from typing import Any

from detectron2.engine import HookBase
from detectron2.utils import comm

from ...randomness import seed_all
from ..metrics_file import drop_from

WINDOW = 20  # values that Detectron2's writers take a median of


class StepSeed(HookBase):
    """Makes the random numbers of a step a function of the seed, the process and the iteration.

    A resumed run needs no random state of the run before, and whatever happens between two steps,
    such as an evaluation, does not change the second one.

    Args:
        seed: of the run, not negative.
    """

    def __init__(self, seed: int):
        self.seed = seed

    def before_step(self) -> None:
        seed_all(self.seed, comm.get_rank(), self.trainer.iter)


class LogContinuation(HookBase):
    """Continues the log of a run where the checkpoint was made.

    Lines of ``metrics.json`` about iterations that will be run again go. The last values of each
    metric come with the checkpoint, so that their medians are over as many as without a pause.

    Args:
        output_dir: folder of the run.
    """

    def __init__(self, output_dir: str | os.PathLike):
        self.output_dir = output_dir
        self._recent: dict[str, list[tuple[float, int]]] = {}

    def state_dict(self) -> dict[str, Any]:
        storage = getattr(self.trainer, "storage", None)
        if storage is None:  # training has not begun
            return self._recent
        smoothed = storage.smoothing_hints()
        return {
            name: [(float(value), iteration) for value, iteration in history.values()[-WINDOW:]]
            for name, history in storage.histories().items()
            if smoothed.get(name, True)
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._recent = state

    def before_train(self) -> None:
        if not self.trainer.resumed or not comm.is_main_process():
            return
        start = self.trainer.start_iter
        # After the last iteration only the evaluation is done again.
        drop_from(self.output_dir, start, keep_end=start < self.trainer.max_iter)
        for name, values in self._recent.items():
            history = self.trainer.storage.histories()[name]
            for value, iteration in values:
                history.update(value, iteration)
