"""The model before its first step, for comparison with what becomes of it."""

from __future__ import annotations

import os

import torch
from detectron2.engine import HookBase

from ...files import complete_file
from ..parallel import unwrapped

FILE_NAME = "model_initial.pth"


class InitialWeights(HookBase):
    """Saves the weights that a run starts with to ``model_initial.pth``.

    A resumed run leaves the file as it is. It is no checkpoint to resume from.

    Args:
        output_dir: folder of the run.
    """

    def __init__(self, output_dir: str):
        self.path = os.path.join(output_dir, FILE_NAME)

    def before_train(self) -> None:
        if self.trainer.start_iter > 0:
            return
        with complete_file(self.path) as partial:
            torch.save({"model": unwrapped(self.trainer.model).state_dict()}, partial)
