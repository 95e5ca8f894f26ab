"""Torchvision's ImageNet weights of ResNets, under the names that Detectron2 gives them."""

from __future__ import annotations

import os
import pickle
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from torch import Tensor
from torchvision import models

from ..errors import UserError, nearest
from .safe_load import load_torch_file

_NUMBERED = re.compile(r"^layer(\d)(?=\.)")  # torchvision's layer1 is Detectron2's res2
_RENAMED = (
    (re.compile(r"^(?=conv1\.|bn1\.)"), "stem."),
    (re.compile(r"\bbn(\d)\b"), r"conv\1.norm"),
    (re.compile(r"\bdownsample\.0\b"), "shortcut"),
    (re.compile(r"\bdownsample\.1\b"), "shortcut.norm"),
)
_KNOWN = re.compile(
    r"(conv1|bn1|layer[1-4]\.\d+\.(conv[1-3]|bn[1-3]|downsample\.[01]))"
    r"\.(weight|bias|running_mean|running_var)"
)
_LEFT_OUT = re.compile(r"fc\.(weight|bias)|.*\.num_batches_tracked")
# Blocks of each stage, and convolutions of each block.
_DEPTHS = {
    ((2, 2, 2, 2), 2): 18,
    ((3, 4, 6, 3), 2): 34,
    ((3, 4, 6, 3), 3): 50,
    ((3, 4, 23, 3), 3): 101,
    ((3, 8, 36, 3), 3): 152,
}


def read_torchvision(source: str) -> dict[str, Tensor]:
    """The state_dict of a torchvision model.

    Args:
        source: a file, or the name of weights that torchvision downloads, such as
            ``ResNet18_Weights.IMAGENET1K_V1``.

    Raises:
        UserError: it is neither, cannot be downloaded, or holds no state_dict.
    """
    state = load_torch_file(source) if os.path.isfile(source) else _download(source)
    if isinstance(state, dict) and isinstance(state.get("model"), dict):
        state = state["model"]  # as torchvision's own training script saves it
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise UserError(f'"{source}" holds no state_dict.')
    return state


def _download(name: str) -> dict[str, Tensor]:
    resnets = models.list_models(models, include=("*resnet*", "*resnext*"))
    known = {str(one): one for resnet in resnets for one in models.get_model_weights(resnet)}
    if name not in known:
        raise UserError(
            f'there is no file "{name}", and no ResNet weights of torchvision are called so.'
            f"{nearest(name, known)}"
        )
    try:
        return known[name].get_state_dict(check_hash=True, weights_only=True)
    except OSError as error:
        raise UserError(
            f'cannot download "{known[name].url}" ({error}); fetch it elsewhere and name the file'
        ) from None


def convert_resnet(state: Mapping[str, Tensor]) -> tuple[int, dict[str, np.ndarray]]:
    """Rename the weights of a torchvision ResNet; the classifier is left out.

    Args:
        state: of ``torchvision.models.resnet18()`` or a deeper one.

    Returns:
        Its depth, and the weights of Detectron2's ``ResNet`` with a ``BasicStem`` and
        ``STRIDE_IN_1X1`` false.

    Raises:
        UserError: it is no such state_dict.
    """
    names = [name for name in state if not _LEFT_OUT.fullmatch(name)]
    foreign = [name for name in names if not _KNOWN.fullmatch(name)]
    depth = _depth(names)
    if foreign or not depth:
        reason = f'such as "{foreign[0]}"' if foreign else f"{len(names)} known names"
        raise UserError(f"these are not the weights of a torchvision ResNet ({reason}).")
    return depth, {_renamed(name): state[name].numpy() for name in names}


def _depth(names: list[str]) -> int | None:
    blocks = {tuple(map(int, m.groups())) for n in names if (m := re.match(r"layer(\d)\.(\d+)", n))}
    stages = [stage for stage, _ in blocks]
    convolutions = 3 if any(name.endswith("conv3.weight") for name in names) else 2
    return _DEPTHS.get((tuple(stages.count(stage) for stage in range(1, 5)), convolutions))


def _renamed(name: str) -> str:
    name = _NUMBERED.sub(lambda match: f"res{int(match[1]) + 1}", name)
    for pattern, replacement in _RENAMED:
        name = pattern.sub(replacement, name)
    return name


def save_backbone(weights: Mapping[str, np.ndarray], path: str | os.PathLike) -> None:
    """Write weights of a backbone so that ``MODEL.WEIGHTS`` takes them, with or without a pyramid.

    Args:
        weights: under the names that they have within the ``ResNet``.
        path: a file ``*.pkl``; by that ending Detectron2 knows the format.

    Raises:
        UserError: another ending, or the file cannot be written.
    """
    if Path(path).suffix != ".pkl":
        raise UserError(f'the file to write must be called *.pkl, not "{path}".')
    content = {"model": dict(weights), "__author__": "torchvision", "matching_heuristics": True}
    try:
        Path(path).write_bytes(pickle.dumps(content))
    except OSError as error:
        raise UserError(f'cannot write "{path}": {error.strerror}.') from None
