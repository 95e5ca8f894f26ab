"""Files of weights, read without letting them run code."""

from __future__ import annotations

import pickle
import re
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch

from ..errors import UserError

# What NumPy arrays and scalars are made of in a pickle, under their names of NumPy 1 and 2.
_ARRAY_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray")
_ARRAY_GLOBALS = {
    (module, name) for module in _ARRAY_MODULES for name in ("_reconstruct", "scalar")
} | {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("collections", "OrderedDict"),
    ("_codecs", "encode"),
}
_DTYPES = ("float64", "float32", "float16", "int64", "int32", "uint8", "bool")


def load_torch_file(filename: str, trusted: bool = False) -> Any:
    """Read what ``torch.save`` has written, of any PyTorch and any Detectron2 version.

    Args:
        filename: a local file.
        trusted: read objects of any type, which may run code.

    Raises:
        UserError: it is damaged, or holds other objects than tensors, NumPy arrays, numbers, text
            and containers of those, and is not ``trusted``.
    """
    try:
        with _numpy_allowed():
            return torch.load(filename, map_location="cpu", weights_only=not trusted)
    except Exception as error:  # a damaged file may raise nearly anything
        raise _unreadable(filename, error) from None


def check_pickle(filename: str) -> None:
    """Refuse a pickle of anything but NumPy arrays, before somebody reads it with ``pickle``.

    Raises:
        UserError: it is one, or damaged.
    """
    try:
        with open(filename, "rb") as file:
            _ArrayUnpickler(file, encoding="latin1").load()
    except Exception as error:
        raise _unreadable(filename, error) from None


def _numpy_allowed() -> AbstractContextManager[None]:
    """NumPy's numbers and arrays are harmless, and checkpoints of old versions may hold some."""
    reconstruct, scalar = np.empty(0).__reduce__()[0], np.float64(0).__reduce__()[0]
    functions = {"_reconstruct": reconstruct, "scalar": scalar}
    by_name = [
        (function, f"{module}.{name}")
        for module in _ARRAY_MODULES
        for name, function in functions.items()
    ]
    kinds = {type(np.dtype(name)) for name in _DTYPES}
    return torch.serialization.safe_globals([*by_name, np.ndarray, np.dtype, *kinds])


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ARRAY_GLOBALS:
            raise pickle.UnpicklingError(f"GLOBAL {module}.{name}")
        return super().find_class(module, name)


def _unreadable(filename: str, error: Exception) -> UserError:
    foreign = re.search(r"GLOBAL ([\w.]+)", str(error))
    if foreign:
        return UserError(
            f'"{filename}" holds an object of type {foreign[1]}, and loading that could run code; '
            f'if you trust the file, pass --unsafe-load "{filename}" to train_net.py, or save its '
            "tensors alone in another"
        )
    # What PyTorch says before this, among other things how to switch the protection off.
    reason = str(error).rpartition("WeightsUnpickler error: ")[2].split("\n")[0]
    reason = reason or type(error).__name__
    return UserError(f'cannot read the weights "{filename}" ({reason}); is the file complete?')
