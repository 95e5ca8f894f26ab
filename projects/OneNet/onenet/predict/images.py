"""Images for a predictor: take what the caller gives, and resize it as for evaluation."""

from __future__ import annotations

import os
from typing import TypeAlias

import numpy as np
from PIL import Image as PillowImage

from ..errors import UserError
from ..images import read_image

Image: TypeAlias = "np.ndarray | str | os.PathLike"


def load_image(image: Image) -> np.ndarray:
    """An image (H, W, 3) uint8, BGR, from a path or an array.

    Raises:
        UserError: it cannot be read, or is no such array, or has no pixels.
    """
    if isinstance(image, (str, os.PathLike)):
        return read_image(image)
    if not isinstance(image, np.ndarray):
        raise UserError(f"an image must be an array or a path, not {type(image).__name__}")
    if image.ndim != 3 or image.shape[2] != 3:
        channels = f"{image.shape[2]} channels" if image.ndim == 3 else f"shape {image.shape}"
        raise UserError(
            f"an image must be (height, width, 3), BGR; this one has {channels}: convert it, or "
            "give the path of its file"
        )
    if image.dtype != np.uint8:
        raise UserError(
            f"an image must be uint8 (8 bits, 0 to 255); this one is {image.dtype}: scale it first"
        )
    if not image.size:
        raise UserError(f"the image has no pixels (shape {image.shape})")
    return image


def network_size(height: int, width: int, shorter_side: int, longest_side: int) -> tuple[int, int]:
    """Size of an image for the network, as Detectron2's ``ResizeShortestEdge`` computes it.

    Args:
        height, width: of the image.
        shorter_side: what the shorter side becomes; 0 leaves the image as it is.
        longest_side: the longer side becomes at most this, the shorter one then less.

    Returns:
        (height, width), at least one pixel each.
    """
    if shorter_side == 0:
        return height, width
    scale = shorter_side / min(height, width)
    sides = (shorter_side, scale * width) if height < width else (scale * height, shorter_side)
    if max(sides) > longest_side:
        shrink = longest_side / max(sides)
        sides = (sides[0] * shrink, sides[1] * shrink)
    return max(1, int(sides[0] + 0.5)), max(1, int(sides[1] + 0.5))


def resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize an image (H, W, 3) uint8 by the filter of Detectron2's ``ResizeTransform``."""
    resized = PillowImage.fromarray(image).resize((width, height), PillowImage.Resampling.BILINEAR)
    return np.asarray(resized)
