"""Whether loaded weights were those of this model."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tabulate import tabulate
from torch import nn

from ..errors import UserError
from .weights import no_detector

BACKBONE = "backbone."
SELECTOR = "head.selector."
TRUNK = "backbone.bottom_up."  # the classification network in a feature pyramid
# Buffers that old checkpoints hold, or lack, and that the model sets by itself; and what a rule or
# a loss has learnt, which is nothing to a detector that is trained by another, or not at all.
TOLERATED = ("cell_anchors", "pixel_mean", "pixel_std", "num_batches_tracked", "criteria.")
_MAX_LISTED = 20
_OF_TORCHVISION = "layer1.0.conv1.weight"  # in every ResNet of torchvision


def check_fit(
    source: str, model: nn.Module, names: Iterable[str], incompatible: Any, by_heuristics: bool
) -> None:
    """Refuse weights that were not made for this model.

    A checkpoint must fit exactly. Weights of a backbone alone (of ImageNet classification, or a
    file with no other keys) must fill the classification network in it, and need fill nothing else.

    Args:
        source: file or URL of the weights, for the message.
        model: what they were loaded into.
        names: keys of the checkpoint.
        incompatible: what fvcore's ``Checkpointer`` reports: ``missing_keys``,
            ``unexpected_keys`` and ``incorrect_shapes``.
        by_heuristics: whether Detectron2 matched the names of an ImageNet model by heuristics;
            those without a match, such as its classifier, then mean nothing.

    Raises:
        UserError: they do not fit; lists what is missing, unexpected or of another shape.
    """
    required = ""
    if by_heuristics or all(_plain(name).startswith(BACKBONE) for name in names):
        pyramid = any(name.startswith(TRUNK) for name in model.state_dict())
        required = TRUNK if pyramid else BACKBONE
    wrong_shape = {name for name, *_ in incompatible.incorrect_shapes}
    missing = [n for n in incompatible.missing_keys if n.startswith(required)]
    if getattr(model, "frozen", False):  # what is trained on top of a finished detector
        missing = [n for n in missing if not n.startswith(SELECTOR)]
    unexpected = [] if by_heuristics else incompatible.unexpected_keys
    rows = [
        *(("another shape", *row) for row in incompatible.incorrect_shapes),
        *(("missing", n, "", "") for n in missing if n not in wrong_shape and not _tolerated(n)),
        *(("unexpected", n, "", "") for n in unexpected if not _tolerated(n)),
    ]
    if any(_plain(name) == _OF_TORCHVISION for name in names):
        raise UserError(
            f'"{source}" holds a ResNet of torchvision; convert it first with: '
            f"tools/convert-torchvision {source} converted.pkl"
        )
    if rows:
        raise UserError(_message(source, rows))


def check_detector(source: str, model: nn.Module, incompatible: Any) -> None:
    """Refuse weights that fill only the backbone and leave the rest of the model random.

    Args:
        source, model, incompatible: as in :func:`check_fit`.

    Raises:
        UserError: they do.
    """
    absent = {*incompatible.missing_keys, *(name for name, *_ in incompatible.incorrect_shapes)}
    filled = (name for name, _ in model.named_parameters() if name not in absent)
    if all(name.startswith(BACKBONE) for name in filled):
        raise no_detector(source)


def _plain(name: str) -> str:
    """A key without the prefix that DistributedDataParallel adds."""
    return name.removeprefix("module.")


def _tolerated(name: str) -> bool:
    return any(part in name for part in TOLERATED)


def _message(source: str, rows: list[tuple]) -> str:
    kinds = [kind for kind, *_ in rows]
    counts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
    table = tabulate(rows[:_MAX_LISTED], headers=["", "parameter", "in the file", "in the model"])
    more = f"\n... and {len(rows) - _MAX_LISTED} more" if len(rows) > _MAX_LISTED else ""
    return (
        f'the weights "{source}" are of another model ({counts}); use the config that they were '
        f"trained with (train_net.py --allow-partial loads what fits)\n{table}{more}"
    )
