"""Checkpoints: safe to read, written whole or not at all, and checked against the model."""

from __future__ import annotations

import os
import pickle
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import IO, Any

import fvcore.common.checkpoint
import numpy as np
import torch
from detectron2.checkpoint import DetectionCheckpointer
from torch import nn

from ..errors import UserError
from .fit import check_fit
from .weights import locate_weights

# What NumPy arrays and scalars are made of in a pickle, under their names of NumPy 1 and 2.
_ARRAY_GLOBALS = {
    (f"{package}.multiarray", name)
    for package in ("numpy.core", "numpy._core")
    for name in ("_reconstruct", "scalar")
} | {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("collections", "OrderedDict"),
    ("_codecs", "encode"),
}


class _SafeReading(fvcore.common.checkpoint.Checkpointer):
    """Reads native checkpoints without letting them run code."""

    def _load_file(self, filename: str) -> dict[str, Any]:
        try:
            with _numpy_allowed():
                return torch.load(filename, map_location="cpu", weights_only=True)
        except Exception as error:  # a damaged file may raise nearly anything
            raise _unreadable(filename, error) from None


class Checkpointer(DetectionCheckpointer, _SafeReading):
    """Detectron2's checkpointer with three differences.

    It runs no code that a file may hold. It refuses weights of another model, listing what does not
    fit. And a process that is killed while it saves leaves the previous checkpoint in place.

    Args:
        model: as in Detectron2, like the other arguments.
        save_dir: folder of the checkpoints.
        allow_partial: load what fits and only warn about the rest, as Detectron2 does.
        save_to_disk: by default the main process alone saves.
        checkpointables: what else to save, by name.
    """

    def __init__(
        self,
        model: nn.Module,
        save_dir: str = "",
        *,
        allow_partial: bool = False,
        save_to_disk: bool | None = None,
        **checkpointables: Any,
    ):
        super().__init__(model, save_dir, save_to_disk=save_to_disk, **checkpointables)
        self.allow_partial = allow_partial
        self.path_manager = _AtomicPathManager(self.path_manager)
        self._source = ""

    def load(self, path: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
        self._source = path
        return super().load(locate_weights(path), *args, **kwargs)

    def _load_file(self, filename: str) -> dict[str, Any]:
        if filename.endswith(".pkl"):
            _check_arrays_only(filename)
        checkpoint = super()._load_file(filename)
        weights = checkpoint["model"]
        kinds = (torch.Tensor, np.ndarray)
        if not isinstance(weights, dict) or not all(isinstance(w, kinds) for w in weights.values()):
            raise UserError(f'"{self._source}" holds no weights, or not weights alone.')
        return checkpoint

    def _load_model(self, checkpoint: dict[str, Any]) -> Any:
        by_heuristics = checkpoint.get("matching_heuristics", False)
        names = list(checkpoint["model"])
        incompatible = super()._load_model(checkpoint)
        if not self.allow_partial:
            check_fit(self._source, self.model, names, incompatible, by_heuristics)
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
    partial = f"{path}.partial"
    try:
        with open(partial, mode) as file:
            yield file
        os.replace(partial, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.remove(partial)
        raise


def _numpy_allowed() -> AbstractContextManager[None]:
    """NumPy's scalars are harmless, and checkpoints of old Detectron2 versions may hold some."""
    if not hasattr(torch.serialization, "safe_globals"):  # before torch 2.5
        return nullcontext()
    scalar = np.float64(0).__reduce__()[0]
    kinds = {type(np.dtype(name)) for name in ("float64", "float32", "int64", "int32", "bool")}
    old_name = (scalar, "numpy.core.multiarray.scalar")
    return torch.serialization.safe_globals([scalar, old_name, np.dtype, *kinds])


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ARRAY_GLOBALS:
            raise pickle.UnpicklingError(f"GLOBAL {module}.{name}")
        return super().find_class(module, name)


def _check_arrays_only(filename: str) -> None:
    """Refuse a pickle of anything but NumPy arrays, before Detectron2 reads it with ``pickle``."""
    try:
        with open(filename, "rb") as file:
            _ArrayUnpickler(file, encoding="latin1").load()
    except Exception as error:
        raise _unreadable(filename, error) from None


def _unreadable(filename: str, error: Exception) -> UserError:
    foreign = re.search(r"GLOBAL ([\w.]+)", str(error))
    if foreign:
        return UserError(
            f'"{filename}" holds an object of type {foreign[1]}, and loading that could run code; '
            "if you trust the file, save its tensors alone in another"
        )
    # What PyTorch says before this, among other things how to switch the protection off.
    reason = str(error).rpartition("WeightsUnpickler error: ")[2].split("\n")[0]
    reason = reason or type(error).__name__
    return UserError(f'cannot read the weights "{filename}" ({reason}); is the file complete?')
