"""Weights and images that anybody can make again: a formula in place of megabytes of numbers."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import numpy as np
import onenet  # noqa: F401  (makes Detectron2 importable, so it comes first)
import torch

# isort: split
from detectron2.structures import Boxes, Instances
from torch import Tensor

BOX_REACH = 8.0  # pixels from a location to the sides of its box
# Normalisations of half the usual weight bound what a sum over many residual blocks grows to; the
# towers of a head have no such sums.
TOWERS = ("head.cls_conv_module", "head.reg_conv_module")
# The best scores are then far from 0 and 1, and so from each other.
LOGIT_SCALE, LOGIT_SHIFT = 0.2, -2.0


def make_weights(shapes: Mapping[str, tuple[int, ...]], seed: int = 0) -> dict[str, Tensor]:
    """Values for a state_dict that keep the activations of a deep network in bounds.

    Args:
        shapes: of every parameter and buffer, by name.
        seed: another one gives other values.
    """
    return {name: torch.from_numpy(_values(name, shape, seed)) for name, shape in shapes.items()}


def _values(name: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    if name.endswith("num_batches_tracked"):
        return np.array(0)
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    normal = rng.standard_normal(shape, dtype=np.float32)
    if name.startswith("head.cls_score"):
        normal *= LOGIT_SCALE
    if len(shape) > 1:
        return normal * np.float32(np.sqrt(2 / np.prod(shape[1:])))
    if name.endswith("running_var"):
        return 1 + np.abs(normal) / 10
    if name == "head.ltrb_pred.bias":
        return BOX_REACH + normal
    if name == "head.cls_score.bias":
        return LOGIT_SHIFT + normal
    if name.endswith(("weight", "scale")):  # of a normalisation, or of a level
        one = 1 + normal / 10
        return one if name.startswith(TOWERS) else one / 2
    return normal / 10


def make_image(height: int, width: int, seed: int = 0) -> Tensor:
    """Coloured squares of 8 pixels with some noise, (3, height, width) uint8."""
    rng = np.random.default_rng(seed)
    squares = rng.integers(0, 224, (3, -(-height // 8), -(-width // 8)))
    image = np.kron(squares, np.ones((1, 8, 8), int))[:, :height, :width]
    return torch.from_numpy((image + rng.integers(0, 32, image.shape)).astype(np.uint8))


def make_batch(height: int, width: int) -> list[dict]:
    """Two training images with objects, the second smaller than the first."""
    batch = []
    for seed, (h, w) in enumerate([(height, width), (height * 3 // 4, width * 7 // 8)]):
        rng = np.random.default_rng([seed, h, w])
        instances = Instances((h, w))
        corners = np.sort(rng.random((3 + 2 * seed, 2, 2), dtype=np.float32), axis=1)
        boxes = torch.from_numpy(corners * np.array([w, h], np.float32)).flatten(1)
        instances.gt_boxes = Boxes(boxes)
        instances.gt_classes = torch.from_numpy(rng.integers(0, 80, len(boxes)))
        batch.append({"image": make_image(h, w, seed), "instances": instances})
    return batch
