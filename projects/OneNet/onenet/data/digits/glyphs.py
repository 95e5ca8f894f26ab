"""Real handwriting as a source of objects: the UCI digits that ship with scikit-learn.

1797 images of 8x8 pixels with 17 grey levels, made by 13 writers (E. Alpaydin, C. Kaynak,
"Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

CLASS_NAMES = tuple(str(digit) for digit in range(10))

VAL_EVERY = 5  # every fifth image of each class is kept for validation
MAX_LEVEL = 16  # grey level of full ink in the source images
PADDING = 2  # blank source pixels around the image: room for rotation and interpolation
OVERSAMPLING = 8  # pixels of the smooth master per source pixel: 64 for a whole digit
SMOOTHING = 0.35  # Gaussian sigma in source pixels: removes ringing and the source's pixel grid
EDGE_WIDTH = 0.35  # grey range over which the stroke's edge goes from paper to ink
INK_THRESHOLD = 0.3  # alpha from which a pixel counts as ink


@dataclass(frozen=True)
class DigitPool:
    """The handwriting that one split may draw from.

    Attributes:
        masters: (N, 96, 96) float32 smooth enlargements, about 0 (paper) to 1 (ink).
        indices: (N,) index of each image in ``sklearn.datasets.load_digits``.
        by_class: for each of the ten classes the rows of ``masters`` that show it.
    """

    masters: np.ndarray
    indices: np.ndarray
    by_class: tuple[np.ndarray, ...]


def split_indices(labels: np.ndarray, split: str) -> np.ndarray:
    """Indices of the source images of ``split``, stratified by class and the same on every machine.

    Args:
        labels: (N,) class of every source image.
        split: "train" or "val".

    Returns:
        Sorted indices. The two splits are disjoint and together hold every image.
    """
    rank = np.empty(len(labels), dtype=np.int64)  # how many images of the same class come before
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        rank[members] = np.arange(len(members))
    held_out = rank % VAL_EVERY == VAL_EVERY - 1
    return np.flatnonzero(held_out == {"train": False, "val": True}[split])


@lru_cache(maxsize=2)
def load_pool(split: str) -> DigitPool:
    """Read the handwriting of "train" or "val"; no image is in both."""
    from sklearn.datasets import (
        load_digits,
    )  # costs most of a second, wasted where the data exists already

    source = load_digits()
    indices = split_indices(source.target, split)
    labels = source.target[indices]
    return DigitPool(
        masters=np.stack([smooth_master(source.images[index]) for index in indices]),
        indices=indices,
        by_class=tuple(np.flatnonzero(labels == label) for label in range(len(CLASS_NAMES))),
    )


def smooth_master(image: np.ndarray) -> np.ndarray:
    """Enlarge a source image of (8, 8) grey levels until its pixels no longer show, (96, 96)."""
    padded = np.pad((image / MAX_LEVEL).astype(np.float32), PADDING)
    side = padded.shape[0] * OVERSAMPLING
    master = cv2.resize(padded, (side, side), interpolation=cv2.INTER_CUBIC)
    return cv2.GaussianBlur(master, (0, 0), SMOOTHING * OVERSAMPLING)


def render_glyph(
    master: np.ndarray, height: int, *, angle: float, aspect: float, thinness: float
) -> np.ndarray:
    """Draw a digit at a size of choice, with smooth outlines.

    Args:
        master: (S, S) float32, see :func:`smooth_master`.
        height: of the glyph's box in pixels; a faint first or last row may be cut from it.
        angle: rotation in degrees, counter-clockwise.
        aspect: factor on the width.
        thinness: grey level in (0, 1) at which the stroke begins; larger is thinner.

    Returns:
        (h, w) float32 alpha in [0, 1], whose outermost rows and columns hold ink.
    """
    side = master.shape[0]
    centre = (side - 1) / 2
    master = cv2.warpAffine(
        master, cv2.getRotationMatrix2D((centre, centre), angle, 1.0), (side, side)
    )
    alpha = crop_to_ink(np.clip((master - thinness) / EDGE_WIDTH, 0, 1))
    width = max(3, round(alpha.shape[1] * aspect * height / alpha.shape[0]))
    return crop_to_ink(cv2.resize(alpha, (width, height), interpolation=cv2.INTER_AREA))


def crop_to_ink(alpha: np.ndarray) -> np.ndarray:
    """Cut away the blank rows and columns at the border of an alpha map."""
    ink = alpha >= INK_THRESHOLD
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    return alpha[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
