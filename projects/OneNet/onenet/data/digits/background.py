"""Textured paper for the synthetic scenes: clouds of colour, clutter that is no digit, grain."""

from __future__ import annotations

import cv2
import numpy as np

LEVELS = 255.0


def smooth_noise(rng: np.random.Generator, size: int, cells: int, channels: int) -> np.ndarray:
    """Noise in about [-1, 1] with features of ``size / cells`` pixels, (size, size, channels)."""
    grid = rng.uniform(-1, 1, (cells, cells, channels)).astype(np.float32)
    return cv2.resize(grid, (size, size), interpolation=cv2.INTER_CUBIC).reshape(
        size, size, channels
    )


def paint_background(rng: np.random.Generator, size: int) -> np.ndarray:
    """Draw a background of ``size`` x ``size`` pixels, (size, size, 3) float32 in [0, 255]."""
    image = np.tile(rng.uniform(50, 205, 3).astype(np.float32), (size, size, 1))
    image += rng.uniform(15, 50) * smooth_noise(rng, size, int(rng.integers(3, 7)), 3)
    image += rng.uniform(4, 18) * smooth_noise(rng, size, int(rng.integers(10, 28)), 1)
    for _ in range(rng.integers(0, 5)):
        _blend_patch(rng, image)
    for _ in range(rng.integers(0, 4)):
        _blend_curve(rng, image)
    return np.clip(image, 0, LEVELS)


def add_grain(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Camera's share: slight blur now and then, and noise on every pixel; returns uint8."""
    if rng.random() < 0.3:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 0.9))
    noise = rng.standard_normal(image.shape, dtype=np.float32) * np.float32(rng.uniform(2, 10))
    return np.clip(np.rint(image + noise), 0, LEVELS).astype(np.uint8)


def _blend_patch(rng: np.random.Generator, image: np.ndarray) -> None:
    """A translucent polygon, larger than most digits."""
    size = image.shape[0]
    centre, radius = rng.uniform(0, size, 2), rng.uniform(0.15, 0.4) * size
    angles = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(3, 7))))
    corners = centre + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    mask = np.zeros((size, size), np.float32)
    cv2.fillPoly(mask, [np.rint(corners).astype(np.int32)], 1.0, cv2.LINE_AA)
    _blend(image, mask, rng.uniform(0, LEVELS, 3), rng.uniform(0.1, 0.4))


def _blend_curve(rng: np.random.Generator, image: np.ndarray) -> None:
    """A pen stroke: as wide and as dark as a digit's, too long and too smooth to be one."""
    size = image.shape[0]
    start, end = rng.uniform(-0.2, 1.2, (2, 2)) * size
    bend = (start + end) / 2 + rng.uniform(-0.5, 0.5, 2) * size
    t = np.linspace(0, 1, 24)[:, None]
    points = (1 - t) ** 2 * start + 2 * t * (1 - t) * bend + t**2 * end
    mask = np.zeros((size, size), np.uint8)  # anti-aliasing exists for 8-bit images only
    cv2.polylines(
        mask, [np.rint(points).astype(np.int32)], False, 255, int(rng.integers(1, 6)), cv2.LINE_AA
    )
    _blend(image, mask / np.float32(255), rng.uniform(0, LEVELS, 3), rng.uniform(0.3, 0.8))


def _blend(image: np.ndarray, mask: np.ndarray, colour: np.ndarray, opacity: float) -> None:
    drawn = mask > 0  # a small part of the image, and much faster to blend alone
    alpha = mask[drawn][:, None] * np.float32(opacity)
    image[drawn] = image[drawn] * (1 - alpha) + colour.astype(np.float32) * alpha
