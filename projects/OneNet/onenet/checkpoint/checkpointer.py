"""Checkpoints: safe to read, written whole or not at all, and checked against the model."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import IO, Any

import fvcore.common.checkpoint
import numpy as np
import torch
from detectron2.checkpoint import DetectionCheckpointer
from torch import nn

from ..data import class_difference
from ..errors import UserError
from ..files import complete_file
from .fit import check_detector, check_fit
from .safe_load import check_pickle, load_torch_file
from .weights import check_named_detector, locate_weights, same_file

logger = logging.getLogger(__name__)

CLASS_NAMES = "class_names"  # what a checkpoint holds them under


class _SafeReading(fvcore.common.checkpoint.Checkpointer):
    """Reads native checkpoints without letting them run code."""

    trusted = False  # whether the next file may run code

    def _load_file(self, filename: str) -> dict[str, Any]:
        return load_torch_file(filename, self.trusted)


class Checkpointer(DetectionCheckpointer, _SafeReading):
    """Detectron2's checkpointer with four differences.

    It runs no code that a file may hold. It refuses weights of another model, listing what does not
    fit. A process that is killed while it saves leaves the previous checkpoint in place. And
    checkpoints hold the names of the classes.

    Args:
        model: as in Detectron2, like the other arguments.
        save_dir: folder of the checkpoints.
        allow_partial: load what fits and only warn about the rest, as Detectron2 does.
        unsafe_load: the one file that may hold any objects, and so run code.
        need_detector: refuse weights of only a backbone, and none; training may begin with both.
        class_names: by class id, to be saved; of weights that call them otherwise it warns.
        save_to_disk: by default only the main process saves.
        checkpointables: what else to save, by name.
    """

    def __init__(
        self,
        model: nn.Module,
        save_dir: str = "",
        *,
        allow_partial: bool = False,
        unsafe_load: str | None = None,
        need_detector: bool = False,
        class_names: Sequence[str] | None = None,
        save_to_disk: bool | None = None,
        **checkpointables: Any,
    ):
        super().__init__(model, save_dir, save_to_disk=save_to_disk, **checkpointables)
        self.allow_partial = allow_partial
        self.unsafe_load = unsafe_load
        self.need_detector = need_detector
        self.class_names = class_names
        self.path_manager = _AtomicPathManager(self.path_manager)
        self._source = ""

    def load(self, path: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
        self._source = path
        if self.need_detector:
            check_named_detector(path)
        rest = super().load(locate_weights(path), *args, **kwargs)
        difference = self.class_names and class_difference(
            rest.get(CLASS_NAMES, self.class_names), self.class_names
        )
        if difference:
            logger.warning(
                'The weights "%s" and the datasets have other classes: %s.', path, difference
            )
        return rest

    def save(self, name: str, **kwargs: Any) -> None:
        if self.class_names:
            kwargs[CLASS_NAMES] = list(self.class_names)
        super().save(name, **kwargs)

    def _load_file(self, filename: str) -> dict[str, Any]:
        names = (self._source, filename)  # they differ where it was downloaded
        self.trusted = any(same_file(name, self.unsafe_load) for name in names)
        if filename.endswith(".pkl") and not self.trusted:
            check_pickle(filename)
        checkpoint = super()._load_file(filename)
        weights = checkpoint["model"]
        kinds = (torch.Tensor, np.ndarray)
        if not isinstance(weights, dict) or not all(isinstance(w, kinds) for w in weights.values()):
            raise UserError(f'"{self._source}" holds no weights, or not weights alone.')
        names = checkpoint.get(CLASS_NAMES)
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            checkpoint.pop(CLASS_NAMES, None)  # of another project
        return checkpoint

    def _load_model(self, checkpoint: dict[str, Any]) -> Any:
        by_heuristics = checkpoint.get("matching_heuristics", False)
        names = list(checkpoint["model"])
        incompatible = super()._load_model(checkpoint)
        if not self.allow_partial:
            check_fit(self._source, self.model, names, incompatible, by_heuristics)
        if self.need_detector:
            check_detector(self._source, self.model, incompatible)
        return incompatible


class _AtomicPathManager:
    """A path manager whose local files appear under their names when they are complete."""

    def __init__(self, path_manager: Any):
        self._path_manager = path_manager

    def __getattr__(self, name: str) -> Any:
        return getattr(self._path_manager, name)

    def open(self, path: str, mode: str = "r", **kwargs: Any) -> AbstractContextManager[IO]:
        if "w" in mode and "://" not in path:
            return _open_atomically(path, mode)
        return self._path_manager.open(path, mode, **kwargs)


@contextmanager
def _open_atomically(path: str, mode: str) -> Iterator[IO]:
    with complete_file(path) as partial, open(partial, mode) as file:
        yield file
