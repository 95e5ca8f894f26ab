"""How long each stage of a detection takes, in PyTorch and in onnxruntime, beside NMS."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.modeling import build_model
from tabulate import tabulate
from torch import nn

from ..export.export import check_exportable
from ..export.onnx_file import check_installed
from ..export.stages import NmsTail, TopKTail
from ..predict.checkpoint import make_card
from ..predict.model_card import ModelCard
from .step import measure_in_turns

if TYPE_CHECKING:
    from ..export.runtimes import StagedDetector

logger = logging.getLogger(__name__)

RUNTIMES = ("pytorch", "onnxruntime")
DEVICES = ("cpu", "cuda")
PICTURE_SCALE = 1.25  # of the pictures to the network's input, so that there is something to resize


@dataclass(frozen=True)
class Stages:
    """Seconds for a batch, medians.

    Attributes:
        runtime, device: what ran it.
        images: in the batch.
        preprocessing: from pictures in memory to a batch of bytes in the network's size.
        network: from there to the predictions at all samples.
        top_k: from these to detections, as this project has them.
        nms: the same with the tail of a RetinaNet.
        total: of a call of the predictor, with top-k.
    """

    runtime: str
    device: str
    images: int
    preprocessing: float
    network: float
    top_k: float
    nms: float
    total: float


def time_stages(
    cfg: CfgNode,
    size: tuple[int, int],
    batches: Sequence[int] = (1, 8),
    runtimes: Sequence[str] = RUNTIMES,
    iterations: int = 10,
    warmup: int = 2,
    clock: Callable[[], float] | None = None,
    devices: Sequence[str] = DEVICES,
) -> list[Stages]:
    """Time a detector with random weights, on the CPU and on a GPU where there is one.

    Args:
        cfg: the config.
        size: height and width of the network's input in pixels.
        batches: numbers of images.
        runtimes: some of :data:`RUNTIMES`.
        iterations: how often each stage is timed, in turns with the others.
        warmup: how often it is run before that.
        clock: gives seconds, see :func:`measure_in_turns`.
        devices: some of :data:`DEVICES`.

    Raises:
        UserError: the model cannot be exported, or what exports it is missing.
    """
    check_exportable(cfg)
    if "onnxruntime" in runtimes:
        check_installed()
    model = build_model(cfg).eval()
    shorter, longer = sorted(size)
    card = replace(make_card(cfg), shorter_side=shorter, longest_side=longer)
    rows = []
    for images in batches:
        pictures = random_pictures(images, size)
        for parts in _each_runtime(cfg, model, card, (images, 3, *size), runtimes, devices):
            logger.info("Timing %s on %s, %d images ...", parts.runtime, parts.device, images)
            rows.append(_time(parts, pictures, iterations, warmup, clock))
    return rows


def random_pictures(count: int, size: tuple[int, int], seed: int = 0) -> list[np.ndarray]:
    """Pictures (H, W, 3) uint8 that become ``size`` when they are resized for the network."""
    rng = np.random.default_rng(seed)
    height, width = (round(side * PICTURE_SCALE) for side in size)
    return list(rng.integers(256, size=(count, height, width, 3), dtype=np.uint8))


def _each_runtime(
    cfg: CfgNode,
    model: nn.Module,
    card: ModelCard,
    shape: tuple[int, int, int, int],
    runtimes: Sequence[str],
    devices: Sequence[str],
) -> Iterator[StagedDetector]:
    from ..export.runtimes import in_onnxruntime, in_pytorch  # which needs onnxruntime

    images, _, *size = shape
    tails = TopKTail(model.max_detections, size), NmsTail(cfg, _level_sizes(model, size), size)
    if "pytorch" in runtimes:
        there = ("cpu", *(["cuda"] if torch.cuda.is_available() else []))
        for device in (x for x in there if x in devices):
            yield in_pytorch(model.to(device), card, images, *tails)
        model.cpu()
    if "onnxruntime" in runtimes:
        with TemporaryDirectory() as folder:
            yield from in_onnxruntime(model, card, shape, *tails, Path(folder), devices)


@torch.inference_mode()
def _level_sizes(model: nn.Module, size: Sequence[int]) -> tuple[int, ...]:
    images = model.preprocess_image([{"image": torch.zeros(3, *size)}])
    _, priors = model.predict(images.tensor)
    return priors.level_sizes


def _time(
    parts: StagedDetector,
    pictures: list[np.ndarray],
    iterations: int,
    warmup: int,
    clock: Callable[[], float] | None,
) -> Stages:
    def prepare() -> np.ndarray:
        return np.stack([parts.predictor.prepare(picture) for picture in pictures])

    batch = prepare()
    outputs = parts.network(batch)
    functions = {
        "preprocessing": prepare,
        "network": partial(parts.network, batch),
        "top_k": partial(parts.top_k, *outputs),
        "nms": partial(parts.nms, *outputs),
        "total": partial(parts.predictor, pictures),
    }
    seconds = measure_in_turns(functions, iterations, warmup, clock)
    medians = {name: median(values) for name, values in seconds.items()}
    return Stages(parts.runtime, parts.device, len(pictures), **medians)


def report_stages(rows: Sequence[Stages]) -> str:
    """A table in milliseconds for a batch, with the tails' shares of the network's time."""
    return tabulate(
        [
            (
                *(x.runtime, x.device, x.images),
                *(f"{1000 * s:.1f}" for s in (x.preprocessing, x.network, x.top_k, x.nms, x.total)),
                *(f"{100 * s / x.network:.2f} %" for s in (x.top_k, x.nms)),
                f"{x.nms / x.top_k:.1f}",
            )
            for x in rows
        ],
        headers=(
            *("runtime", "device", "images", "preprocessing, ms", "network", "top-k", "NMS tail"),
            *("total", "top-k : network", "NMS : network", "NMS : top-k"),
        ),
        tablefmt="pipe",
        disable_numparse=True,
        colalign=("left", "left", *["right"] * 9),
    )
