"""Watching a few images to see how their assignment changes while the detector learns."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from detectron2.config import CfgNode
from detectron2.data import MapDataset
from detectron2.engine import HookBase
from detectron2.evaluation import inference_context

from ...data.annotated import annotated_mapper, evenly_spread
from ...errors import ConfigError
from ...inspection.dynamics import PositivePairs, Values, describe, moved, pool, positive_pairs
from ...inspection.positives import positive_samples
from ...randomness import keeping_random_state
from ..parallel import unwrapped

logger = logging.getLogger(__name__)

PREFIX = "dynamics/"
REMEMBERED = 2  # evaluations: the last one, and the one that it was compared with


def check_probe(cfg: CfgNode) -> None:
    """Check ``TEST.ASSIGNMENT_PROBE``.

    Raises:
        ConfigError: it is no number of images.
    """
    if cfg.TEST.ASSIGNMENT_PROBE < 0:
        raise ConfigError(
            f"TEST.ASSIGNMENT_PROBE must be a number of images (0: none), got "
            f"{cfg.TEST.ASSIGNMENT_PROBE}."
        )


class AssignmentProbe(HookBase):
    """Logs at every evaluation what the assigner does with the same few images.

    It runs the network as in inference and the assigner as in training (of the first branch), one
    image at a time, and puts the numbers of :mod:`onenet.inspection.dynamics` into the event
    storage. Training is not changed by it: weights, statistics of batch norm and random numbers
    stay as they are. Only for the main process, where it communicates with no other. Goes in front
    of the hook that saves checkpoints, which take along the positives that the next evaluation is
    compared with.

    Args:
        scenes: dicts in Detectron2's standard format with ``image`` and ``instances``.
        names: of these images, to find out on resuming whether they are still the same.
        period: iterations from one evaluation to the next, ``TEST.EVAL_PERIOD``; the last iteration
            has one too.
    """

    def __init__(self, scenes: Sequence[dict[str, Any]], names: Sequence[str], period: int):
        self.scenes = scenes
        self.names = list(names)
        self.period = period
        # Iteration and positives of each image.
        self._history: list[tuple[int, list[PositivePairs]]] = []

    def state_dict(self) -> dict[str, Any]:
        if not self._history:
            return {}
        history = [(at, [tuple(pairs) for pairs in images]) for at, images in self._history]
        return {"names": self.names, "history": history}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if state["names"] != self.names:
            logger.info("The probe has other images than before: no positive of theirs is known.")
            return
        self._history = [
            (at, [PositivePairs(*pairs) for pairs in images]) for at, images in state["history"]
        ]

    def after_step(self) -> None:
        done = self.trainer.iter + 1
        if done == self.trainer.max_iter or (self.period > 0 and done % self.period == 0):
            self._probe()

    def _probe(self) -> None:
        iteration = self.trainer.iter
        # A resumed run may repeat an evaluation of which the checkpoint knows already.
        earlier = [entry for entry in self._history if entry[0] < iteration]
        before = earlier[-1][1] if earlier else [None] * len(self.scenes)
        images, values = [], []
        with keeping_random_state(), inference_context(unwrapped(self.trainer.model)):
            for index, previous in enumerate(before):
                pairs, described = self._look_at(self.scenes[index], previous)
                images.append(pairs)
                values.append(described)
        self._history = [*earlier, (iteration, images)][-REMEMBERED:]
        self._log(pool(values))

    def _look_at(
        self, scene: dict[str, Any], before: PositivePairs | None
    ) -> tuple[PositivePairs, Values]:
        model = unwrapped(self.trainer.model)
        samples = positive_samples(model, [scene])
        now, values = positive_pairs(samples), describe(samples, model.criterion.assigner)
        if before is not None:
            values["moved"] = moved(before, now)
        return now, values

    def _log(self, values: dict[str, float]) -> None:
        for name, value in values.items():
            self.trainer.storage.put_scalar(PREFIX + name, value, smoothing_hint=False)
        described = "  ".join(f"{name.replace('_', ' ')} {x:.3f}" for name, x in values.items())
        logger.info("assignment of %d training images: %s", len(self.scenes), described)


def build_probe(cfg: CfgNode, records: Sequence[dict[str, Any]]) -> AssignmentProbe:
    """Build the probe of a config.

    Args:
        cfg: reads ``TEST.ASSIGNMENT_PROBE``, ``TEST.EVAL_PERIOD`` and ``INPUT``.
        records: of the training images, of which it takes as many, evenly spread.
    """
    chosen = [records[i] for i in evenly_spread(len(records), cfg.TEST.ASSIGNMENT_PROBE)]
    return AssignmentProbe(
        MapDataset(chosen, annotated_mapper(cfg)),
        [record["file_name"] for record in chosen],
        cfg.TEST.EVAL_PERIOD,
    )
