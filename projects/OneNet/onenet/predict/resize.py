"""Resize images as they are resized for evaluation, without Pillow."""

from __future__ import annotations

from functools import lru_cache

import numpy as np


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
    """Resize an image with Pillow's bilinear filter, which Detectron2 uses.

    The filter widens where the image shrinks; OpenCV's linear interpolation does not, and its
    aliasing costs accuracy.

    Args:
        image: (H, W, C) uint8.
        height, width: wanted.

    Returns:
        (height, width, C) uint8, within one grey level of Pillow's.
    """
    if width != image.shape[1]:
        columns = np.ascontiguousarray(image.transpose(1, 0, 2))
        image = _resize_rows(columns, width).transpose(1, 0, 2)
    if height != image.shape[0]:
        image = _resize_rows(np.ascontiguousarray(image), height)
    return np.ascontiguousarray(image)


def _resize_rows(image: np.ndarray, length: int) -> np.ndarray:
    """(n, m, C) -> (length, m, C)."""
    index, weight = _taps(image.shape[0], length)
    total = np.full((length, *image.shape[1:]), 0.5, np.float32)  # rounds
    for tap in range(index.shape[1]):
        total += weight[:, tap, None, None] * image[index[:, tap]]
    return total.astype(np.uint8)


@lru_cache(maxsize=32)
def _taps(source: int, target: int) -> tuple[np.ndarray, np.ndarray]:
    """Which of ``source`` pixels make each of ``target`` ones, and their shares.

    Returns:
        index and weight, each (target, taps).
    """
    scale = source / target
    reach = max(scale, 1.0)  # half the width of the triangle
    center = (np.arange(target) + 0.5) * scale
    first = np.maximum((center - reach + 0.5).astype(int), 0)
    last = np.minimum((center + reach + 0.5).astype(int), source)
    index = first[:, None] + np.arange((last - first).max())
    weight = np.maximum(1 - np.abs(index + 0.5 - center[:, None]) / reach, 0)
    weight[index >= last[:, None]] = 0
    weight /= weight.sum(axis=1, keepdims=True)
    return np.minimum(index, source - 1), weight.astype(np.float32)
