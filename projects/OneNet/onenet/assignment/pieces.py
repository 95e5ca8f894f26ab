"""How many pairs of a sample and a ground truth are worked off at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from ..errors import ConfigError
from ..structures import GroundTruth, Predictions, Priors

# On a CPU a piece is what the cache holds: each of its values takes 1 MiB.
CPU_PAIRS = 1 << 18
# Elsewhere every piece costs some tens of launches, so that it takes this part of the memory: of
# all that there is, because what is free has to be asked of the driver in every step.
MEMORY_SHARE = 1 / 16
BYTES_PER_PAIR = 40  # with all temporary values; the hungriest assigner, FCOS, has 36
ASSUMED_MEMORY = 8 << 30  # bytes, of devices other than CUDA and ROCm


def check_max_pairs(max_pairs: int | None) -> int | None:
    """Refuse a negative ``MODEL.OneNet.ASSIGNER.MAX_PAIRS``; returns any other.

    Raises:
        ConfigError: it is negative.
    """
    if max_pairs is not None and max_pairs < 0:
        raise ConfigError(
            f"MODEL.OneNet.ASSIGNER.MAX_PAIRS must be positive, or 0 (by device), got {max_pairs}."
        )
    return max_pairs


def piece_size(max_pairs: int | None, pairs_each: int, device: torch.device) -> int:
    """How many samples (or ground truths) to work off at once; never waits for the device.

    Args:
        max_pairs: as many pairs may be in memory at once; 0 or None = what suits the device.
        pairs_each: pairs that one sample (one ground truth) has in the whole batch.
        device: where they are worked off.

    Returns:
        At least 1.
    """
    return max(1, (max_pairs or _pairs_by_device(device)) // max(1, pairs_each))


def _pairs_by_device(device: torch.device) -> int:
    if device.type == "cpu":
        return CPU_PAIRS
    memory = ASSUMED_MEMORY
    if device.type == "cuda":
        memory = torch.cuda.get_device_properties(device).total_memory
    return int(memory * MEMORY_SHARE) // BYTES_PER_PAIR


def pieces(
    priors: Priors, predictions: Predictions, gt: GroundTruth, max_pairs: int | None
) -> Iterator[tuple[int, Priors, Predictions]]:
    """Views of consecutive samples with the index of the first, see :func:`piece_size`.

    ``level_sizes`` and ``shapes`` of the priors stay those of the whole.
    """
    step = piece_size(max_pairs, gt.labels.numel(), gt.labels.device)
    # Not slices: their gradients would each be as large as the whole.
    fields = ("boxes", "points", "stride", "level")
    parts = zip(*(getattr(priors, field).split(step) for field in fields), strict=True)
    # Of rows of samples, as which heads have them: gradients are joined in that layout.
    logits, boxes = (
        [piece.mT for piece in x.mT.split(step, dim=-1)]
        for x in (predictions.logits, predictions.boxes)
    )
    quality = [None] * len(logits)
    if predictions.quality is not None:
        quality = predictions.quality.split(step, dim=1)
    predicted = zip(logits, map(in_rows, boxes), quality, strict=True)
    for index, (part, values) in enumerate(zip(parts, predicted, strict=True)):
        part = replace(priors, **dict(zip(fields, part, strict=True)))
        yield index * step, part, Predictions(*values)


def of_all_pairs(
    function: Callable[[Priors, Predictions, GroundTruth], Tensor],
    priors: Priors,
    predictions: Predictions,
    gt: GroundTruth,
    max_pairs: int | None,
) -> Tensor:
    """(..., R), what a function (..., r) of pieces gives, to the bit, with all of it in memory."""
    parts = pieces(priors, predictions, gt, max_pairs)
    return torch.cat([function(*part, gt) for _, *part in parts], dim=-1)


def in_rows(boxes: Tensor) -> Tensor:
    """The same boxes (..., R, 4) with each of their sides contiguous: rules walk along samples."""
    return boxes.mT.contiguous().mT
