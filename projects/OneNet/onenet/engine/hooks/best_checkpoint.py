"""Keeping the weights of the best evaluation."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Sequence

import torch
from detectron2.engine import HookBase
from torch import nn

from ...checkpoint.checkpointer import Checkpointer
from ...errors import nearest
from .assignment_probe import PREFIX as OF_PROBE

logger = logging.getLogger(__name__)

FILE_NAME = "model_best"


class _WeightsFile(Checkpointer):
    """Saves only the model, and does not make its file the one that a run resumes from."""

    def tag_last_checkpoint(self, last_filename_basename: str) -> None:
        """Leave ``last_checkpoint`` as it is."""


class BestCheckpoint(HookBase):
    """Saves the weights to ``model_best.pth`` whenever an evaluation is the best so far.

    The file has the metric and the iteration beside the weights, and a resumed run finds there what
    it has to beat. Goes between the hook that evaluates and those that write metrics; only in the
    main process.

    Args:
        model: to be saved.
        output_dir: folder of the run.
        metric: name of the metric, as in ``metrics.json``; the higher the better.
        class_names: to be saved too.
    """

    def __init__(
        self,
        model: nn.Module,
        output_dir: str,
        metric: str = "bbox/AP",
        class_names: Sequence[str] | None = None,
    ):
        self.metric = metric
        self.best = -math.inf
        self._file = _WeightsFile(model, output_dir, class_names=class_names)
        self._seen = -1  # iteration of the last evaluation
        self._warned = False

    def before_train(self) -> None:
        path = os.path.join(self._file.save_dir, f"{FILE_NAME}.pth")
        if self.trainer.resumed and os.path.exists(path):
            saved = torch.load(path, map_location="cpu", weights_only=True)
            self.best = saved.get("metrics", {}).get(self.metric, self.best)

    def after_step(self) -> None:
        self._consider()

    def after_train(self) -> None:
        self._consider()

    def _consider(self) -> None:
        latest = self.trainer.storage.latest()
        if self.metric not in latest:
            self._warn_of_other_results()
            return
        value, iteration = latest[self.metric]
        if iteration == self._seen:
            return
        self._seen = iteration
        if value > self.best:  # never true of NaN, an evaluation without any ground truth
            self.best = value
            self._file.save(FILE_NAME, metrics={self.metric: float(value)}, iteration=iteration)
            logger.info("%s %.3f is the best so far.", self.metric, value)

    def _warn_of_other_results(self) -> None:
        hints = self.trainer.storage.smoothing_hints()
        results = [
            name
            for name, smoothed in hints.items()
            if "/" in name and not smoothed and not name.startswith(OF_PROBE)
        ]
        if results and not self._warned:
            self._warned = True
            logger.warning(
                'TEST.BEST_METRIC: no evaluation gives "%s".%s',
                self.metric,
                nearest(self.metric, results),
            )
