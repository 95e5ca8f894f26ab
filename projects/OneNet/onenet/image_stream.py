"""Image files that are too large to be read whole: their rows, from top to bottom."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from .errors import UserError
from .images import read_image

if TYPE_CHECKING:
    import pyvips

REQUIREMENT = "pyvips[binary]>=3.0"
UPRIGHT = (0, 1)  # orientations of EXIF; 0: not told
INTERPRETATIONS = ("b-w", "grey16", "srgb", "rgb", "rgb16")  # of libvips; an alpha may be there


def open_large_image(path: str | os.PathLike) -> np.ndarray | ImageStream:
    """Open an image file of any size.

    Args:
        path: of a file that Pillow or, if it is large, libvips can read.

    Returns:
        Of no more than ``PIL.Image.MAX_IMAGE_PIXELS`` (89 million) pixels what
        :func:`~onenet.images.read_image` returns, else a stream that is indexed like it.

    Raises:
        UserError: the file cannot be read, or pyvips, which large ones need, is not installed.
    """
    return ImageStream(path) if _is_large(path) else read_image(path)


def _is_large(path: str | os.PathLike) -> bool:
    """What Pillow warns of, or refuses, by what the head of the file says."""
    with warnings.catch_warnings(), suppress(OSError, SyntaxError, ValueError):
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            Image.open(path).close()
        except (Image.DecompressionBombWarning, Image.DecompressionBombError):
            return True
    return False  # those that cannot be opened too: reading them tells why


class ImageStream:
    """An image file whose rows are decoded when they are asked for, by libvips.

    ``stream[top:bottom]`` are the rows (bottom - top, W, 3) uint8, BGR, of the upright image. Those
    that the next slice shares with it are kept, others are forgotten; a slice that begins higher
    than the one before decodes the file anew. The pixels are those that Pillow reads.

    Args:
        path: of the file.

    Attributes:
        shape: (H, W, 3).

    Raises:
        UserError: pyvips is not installed, the file cannot be read, or its pixels are neither grey
            nor RGB of 8 or 16 bits. The same while rows are read.
    """

    def __init__(self, path: str | os.PathLike):
        self._path = os.fspath(path)
        self._restart()

    def __getitem__(self, rows: slice) -> np.ndarray:
        top, bottom, _ = rows.indices(self.shape[0])
        if top < self._top:
            self._restart()
        kept = self._rows[top - self._top :]
        if len(kept) < bottom - top:
            kept = np.concatenate([kept, self._decode(top + len(kept), bottom)])
        self._top, self._rows = top, kept
        return kept[: bottom - top]

    def reduced(self, scale: float) -> np.ndarray:
        """The whole image at ``scale`` below 1, (scale * H, scale * W, 3) uint8, BGR."""
        with _told(self._path):
            return np.ascontiguousarray(self._open().resize(scale).numpy()[..., ::-1])

    def _restart(self) -> None:
        with _told(self._path):
            image = self._open()
            self._region = _pyvips().Region.new(image)
        self.shape = (image.height, image.width, 3)
        self._top, self._rows = 0, np.empty((0, image.width, 3), np.uint8)

    def _decode(self, top: int, bottom: int) -> np.ndarray:
        with _told(self._path):
            pixels = self._region.fetch(0, top, self.shape[1], bottom - top)
        return np.frombuffer(pixels, np.uint8).reshape(-1, self.shape[1], 3)[..., ::-1]

    def _open(self) -> pyvips.Image:
        read = partial(
            _pyvips().Image.new_from_file, self._path, fail_on="error", revalidate=True
        )  # revalidate: libvips remembers what it has read under a name
        image = read(access="sequential")
        if image.get_typeof("orientation") and image.get("orientation") not in UPRIGHT:
            # Rows of the upright image are columns of the file: libvips has them in a scratch file.
            image = read().autorot()
        return _to_rgb(image, self._path)


def _pyvips() -> ModuleType:
    """The package, which is imported when it is needed.

    Raises:
        UserError: it is not installed.
    """
    try:
        import pyvips
    except (ImportError, OSError) as error:  # OSError: it is there, and libvips is not
        raise UserError(
            f"an image of more than {Image.MAX_IMAGE_PIXELS} pixels is read by pyvips, which is "
            f"missing ({error}): pip install '{REQUIREMENT}'"
        ) from None
    return pyvips


def _to_rgb(image: pyvips.Image, path: str) -> pyvips.Image:
    """RGB of 8 bits, as :mod:`~onenet.images` has it."""
    if image.interpretation not in INTERPRETATIONS or image.format not in ("uchar", "ushort"):
        raise UserError(
            f"{path}: {image.bands} channels of {image.format} ({image.interpretation}); large "
            "images must be grey or RGB of 8 or 16 bits: convert it"
        )
    if image.format == "ushort":
        image = (image >> 8).cast("uchar")
    if image.hasalpha():
        image = image.extract_band(0, n=image.bands - 1)
    return image.bandjoin([image, image]) if image.bands == 1 else image


@contextmanager
def _told(path: str) -> Iterator[None]:
    """Tell what libvips says about a file in one line."""
    try:
        yield
    except _pyvips().Error as error:
        detail = " ".join(str(error).split())
        raise UserError(f"{path}: the image is truncated or damaged ({detail})") from None
