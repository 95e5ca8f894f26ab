"""The one reader of image files, for training, evaluation and prediction; it needs no PyTorch."""

from __future__ import annotations

import os
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, TiffImagePlugin, UnidentifiedImageError

from .errors import UserError

_WHITE_IS_ZERO = 0  # a value of TIFF's tag PhotometricInterpretation


def read_image(path: str | os.PathLike) -> np.ndarray:
    """Read an image file as :func:`open_image` does.

    Returns:
        (H, W, 3) uint8, BGR.

    Raises:
        UserError: the file cannot be read, or holds no image that can be used.
    """
    return np.ascontiguousarray(np.asarray(open_image(path))[..., ::-1])


def open_image(path: str | os.PathLike) -> Image.Image:
    """Read an image file as :func:`decode_image` does.

    Raises:
        UserError: the file cannot be read, or holds no image that can be used.
    """
    try:
        return decode_image(Path(path).read_bytes())
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from None
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def decode_image(data: bytes) -> Image.Image:
    """Decode the content of an image file; docs/custom-data.md has the rule for each kind of pixel.

    Returns:
        An RGB image, upright; of several frames or pages the first.

    Raises:
        UserError: it is empty, damaged, too large or no image, or its pixels have no fixed range.
            The message does not name the file.
    """
    if not data:
        raise UserError("the file is empty")
    try:
        Image.open(BytesIO(data)).verify()  # the checksums of a PNG, which decoding passes over
        image = Image.open(BytesIO(data))
        image.load()
    except UnidentifiedImageError:
        raise UserError(
            "damaged, or not an image that Pillow can read: save it as PNG or JPEG"
        ) from None
    except Image.DecompressionBombError as error:
        raise UserError(
            f"{error}: cut it up (tools/tile_dataset.py), or raise PIL.Image.MAX_IMAGE_PIXELS"
        ) from None
    except Exception as error:  # what Pillow raises on damaged content has no common base
        raise UserError(f"the image is truncated or damaged ({error})") from None
    with suppress(Exception):  # a broken EXIF block tells no orientation, and the pixels are whole
        ImageOps.exif_transpose(image, in_place=True)
    return _to_rgb(image)


def _to_rgb(image: Image.Image) -> Image.Image:
    image.info.pop("transparency", None)  # dropped, as an alpha channel is
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM"):
        image = _keep_high_bits(image)
    elif image.mode in ("I", "F"):
        raise UserError(
            "pixels that are floats, signed or of 32 bits have no fixed black and white: "
            "scale them to 8 or 16 bits"
        )
    elif image.mode == "La":  # premultiplied, which Pillow converts in two steps
        image = image.convert("LA")
    return image.convert("RGB")


def _keep_high_bits(image: Image.Image) -> Image.Image:
    """Grey of 16 bits as 8; what a TIFF says of 12 bits and of black is not applied by Pillow."""
    values, bits = np.asarray(image), 16
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        (bits,) = image.tag_v2[TiffImagePlugin.BITSPERSAMPLE]
        if image.tag_v2.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION, 0) == _WHITE_IS_ZERO:
            values = 2**bits - 1 - values
    return Image.fromarray((values >> (bits - 8)).astype(np.uint8))
