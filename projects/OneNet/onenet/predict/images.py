"""Read image files, and refuse those that are not whole: OpenCV shows a part without a word."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np

from ..errors import UserError

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8"
_JPEG_STANDALONE = {0x01, *range(0xD0, 0xD9)}  # markers that no length follows
_JPEG_SCAN, _JPEG_END = 0xDA, b"\xff\xd9"


def read_image(path: str | os.PathLike) -> np.ndarray:
    """Read an image file upright, as its EXIF data has it.

    Returns:
        (H, W, 3) uint8, BGR. Grey becomes BGR, transparency is dropped, and of 16 bits the higher
        eight are kept.

    Raises:
        UserError: the file cannot be read, or is empty, truncated or no image.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from None
    if not data:
        raise UserError(f"{path}: the file is empty")
    if not _is_whole(data):
        raise UserError(f"{path}: the image is truncated or damaged")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:  # more pixels than OpenCV admits
        raise UserError(f"{path}: {error.err}") from None
    if image is None:
        raise UserError(f"{path}: not an image that OpenCV can read")
    return image


def check_image(image: np.ndarray) -> None:
    """Make sure that an array is an image.

    Raises:
        UserError: it is not (H, W, 3) uint8, or has no pixels.
    """
    if image.ndim != 3 or image.shape[2] != 3:
        channels = f"{image.shape[2]} channels" if image.ndim == 3 else f"shape {image.shape}"
        raise UserError(
            f"an image must be (height, width, 3), BGR; this one has {channels}: convert it with "
            "cv2.cvtColor"
        )
    if image.dtype != np.uint8:
        raise UserError(
            f"an image must be uint8 (8 bits, 0 to 255); this one is {image.dtype}: scale it first"
        )
    if not image.size:
        raise UserError(f"the image has no pixels (shape {image.shape})")


def _is_whole(data: bytes) -> bool:
    """Whether the end of the image is there, for the formats that tell where it is."""
    if data.startswith(_PNG):
        return _is_whole_png(data)
    if data.startswith(_JPEG):
        return _is_whole_jpeg(data)
    if data.startswith(b"RIFF"):  # WebP
        return len(data) >= 8 + int.from_bytes(data[4:8], "little")
    if data.startswith(b"BM"):
        return len(data) >= int.from_bytes(data[2:6], "little")
    return True


def _is_whole_png(data: bytes) -> bool:
    """Walk the chunks, each of which carries a checksum, to the last one."""
    position = len(_PNG)
    while position + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 8 + length
        if zlib.crc32(data[position + 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
            return False
        if kind == b"IEND":
            return True
        position = end + 4
    return False


def _is_whole_jpeg(data: bytes) -> bool:
    """Walk the segments to the picture, past a thumbnail with an end of its own."""
    position = len(_JPEG)
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == _JPEG_SCAN:
            return data.find(_JPEG_END, position) >= 0
        if marker == 0xFF:  # a fill byte
            position += 1
        elif marker in _JPEG_STANDALONE:
            position += 2
        else:
            position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return False
