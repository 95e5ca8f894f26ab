"""Compare an exported model with the one that it was made of, on images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from torch import nn

from ..predict.base import Found
from ..predict.images import resize
from ..predict.model_card import ModelCard
from ..predict.torch_predictor import run_torch

SCORE_TOLERANCE = 1e-4
BOX_TOLERANCE = 1e-2  # pixels
SCORE_FLOOR = 0.05  # detections below this are not compared, unless there is none above
BATCH_SIZES = (1, 2)

Detect = Callable[[np.ndarray], Sequence[Found]]


@dataclass(frozen=True)
class Verification:
    """What was compared.

    Attributes:
        batches: number of them; two batch sizes at each of two image sizes.
        detections: number of detections above the floor in all of them.
        floor: the score above which detections were compared.
        problem: where the two differ; empty where they do not.
    """

    batches: int = 0
    detections: int = 0
    floor: float = SCORE_FLOOR
    problem: str = ""


def verify(
    model: nn.Module,
    run: Detect,
    images: Sequence[np.ndarray],
    card: ModelCard,
    least_side: int = 1,
) -> Verification:
    """Run both on the same batches and compare the detections.

    Args:
        model: the detector in PyTorch, in evaluation mode.
        run: the exported one: (B, 3, H, W) uint8 -> boxes, scores and classes of each image.
        images: (H, W, 3) uint8, BGR; they are resized, and repeated where a batch needs more.
        card: of the model.
        least_side: of the images, pixels.
    """
    pairs = []
    for batch in make_batches(images, card, least_side):
        pairs.append((batch.shape, run_torch(model, batch), [nonempty(x) for x in run(batch)]))
    scores = [expected[1] for _, batch, _ in pairs for expected in batch]
    best = max((x.max() for x in scores if len(x)), default=0.0)
    floor = SCORE_FLOOR if best > SCORE_FLOOR else 0.0
    count = int(sum((x > floor).sum() for x in scores))
    for shape, expected, actual in pairs:
        for index, (one, other) in enumerate(zip(expected, actual, strict=True)):
            problem = difference(one, other, floor)
            if problem:
                size = "x".join(map(str, shape))
                where = f"image {index} of a batch {size}: {problem}"
                return Verification(len(pairs), count, floor, where)
    return Verification(len(pairs), count, floor)


def make_batches(
    images: Sequence[np.ndarray], card: ModelCard, least_side: int
) -> Iterable[np.ndarray]:
    """(B, 3, H, W) of two sizes, one of which has to be padded, and two batch sizes."""
    side = max(card.shorter_side or 160, least_side)
    for height, width in ((side, side), (max(side * 3 // 4 + 1, least_side), side * 5 // 4 + 3)):
        for batch_size in BATCH_SIZES:
            chosen = [images[i % len(images)] for i in range(batch_size)]
            batch = np.stack([resize(image, height, width) for image in chosen])
            if card.channel_order == "RGB":
                batch = batch[..., ::-1]
            yield np.ascontiguousarray(batch.transpose(0, 3, 1, 2))


def nonempty(found: Found) -> Found:
    """Without the boxes that have no area, which Detectron2 leaves out."""
    boxes, scores, classes = map(np.asarray, found)
    keep = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    return boxes[keep], scores[keep], classes[keep]


def difference(expected: Found, actual: Found, floor: float) -> str:
    """How two sets of detections differ; empty where they do not.

    Detections of nearly the same score may come in any order, and so may either of two be the one
    that is cut off at the end.
    """
    count = min(len(expected[1]), len(actual[1]))
    gaps = np.abs(np.sort(expected[1])[::-1][:count] - np.sort(actual[1])[::-1][:count])
    if count and not gaps.max() <= SCORE_TOLERANCE:
        rank = int(np.argmax(~(gaps <= SCORE_TOLERANCE)))
        return f"score number {rank} differs by {gaps[rank]:.2g}"
    return _missing(expected, actual, floor, "onnxruntime") or _missing(
        actual, expected, floor, "PyTorch"
    )


def _missing(these: Found, those: Found, floor: float, whose: str) -> str:
    """The first detection of ``these`` that is not among ``those``."""
    cut_off = those[1].min() if len(those[1]) else 0.0
    for box, score, label in zip(*these, strict=True):
        if score <= max(floor, cut_off) + SCORE_TOLERANCE:
            continue
        near = (those[2] == label) & (np.abs(those[1] - score) <= SCORE_TOLERANCE)
        distances = np.abs(those[0][near] - box).max(axis=1)
        if not (distances <= BOX_TOLERANCE).any():
            nearest = f", nearest box {distances.min():.2g} pixels off" if len(distances) else ""
            return f"class {label} with score {score:.4f} at {box.round(1).tolist()} is not in " + (
                f"the output of {whose}{nearest}"
            )
    return ""
