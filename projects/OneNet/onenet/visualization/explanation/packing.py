"""Arrays as a text that a page reads: compressed, and no longer than they need be."""

from __future__ import annotations

import zlib
from base64 import b64encode

import numpy as np
from torch import Tensor

_ROUNDED_BITS = 8  # of a float32's mantissa, which leaves 15: four digits


class Packer:
    """Collects arrays; a tree that goes to the page holds what :meth:`add` returns for each."""

    def __init__(self):
        self._parts: list[bytes] = []
        self._length = 0

    def add(self, values: Tensor, kind: str, *, exact: bool = False) -> dict[str, list]:
        """Add an array, flattened.

        Args:
            values: numbers that fit.
            kind: of the page's array: "f4", "u1", "i2" or "i4".
            exact: do not round numbers of kind "f4" to four digits.

        Returns:
            Its kind, where it begins (bytes), and how many numbers it has.
        """
        array = np.ascontiguousarray(values.cpu().numpy().ravel(), f"<{kind}")
        if kind == "f4" and not exact:
            array = _round(array)
        # Bytes of equal place side by side: most of them repeat.
        part = array.view(np.uint8).reshape(-1, array.itemsize).T.tobytes()
        reference = {"packed": [kind, self._length, array.size]}
        self._parts.append(part)
        self._length += len(part)
        return reference

    def text(self) -> str:
        """All of them: zlib, then base64."""
        return b64encode(zlib.compress(b"".join(self._parts), 9)).decode("ascii")


def _round(array: np.ndarray) -> np.ndarray:
    bits = array.view(np.uint32)
    whole = (bits + (1 << (_ROUNDED_BITS - 1))) & ~np.uint32((1 << _ROUNDED_BITS) - 1)
    return np.where(np.isfinite(array), whole.view(np.float32), array)
