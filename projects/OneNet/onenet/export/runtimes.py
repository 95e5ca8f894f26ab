"""A detector in PyTorch and in onnxruntime, whole and in stages, to be timed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import onnxruntime
import torch
from onnxruntime import OrtValue, SessionOptions
from torch import nn

from ..predict.base import BasePredictor
from ..predict.model_card import ModelCard
from ..predict.onnx_predictor import CPU, OnnxPredictor, open_session
from ..predict.torch_predictor import Predictor
from .graph import DetectionGraph
from .onnx_file import save_onnx, to_onnx, translate
from .program import trace
from .stages import Network, NmsTail, TopKTail

CUDA = "CUDAExecutionProvider"

Stage: TypeAlias = Callable[..., Sequence[Any]]


@dataclass(frozen=True)
class StagedDetector:
    """A detector in a runtime.

    Attributes:
        runtime, device: what runs it.
        predictor: the whole of it.
        network: a batch (B, 3, H, W) uint8 -> what either tail takes.
        top_k, nms: the tails.
    """

    runtime: str
    device: str
    predictor: BasePredictor
    network: Stage
    top_k: Stage
    nms: Stage


def in_pytorch(
    model: nn.Module, card: ModelCard, batch_size: int, top_k: TopKTail, nms: NmsTail
) -> StagedDetector:
    """The detector on the device where it is."""

    @torch.inference_mode()
    def network(batch: np.ndarray) -> Sequence[torch.Tensor]:
        images = model.preprocess_image([{"image": torch.from_numpy(x)} for x in batch])
        branches, _ = model.predict(images.tensor)
        predictions = next(iter(branches.values())).float()
        outputs = predictions.logits, predictions.boxes, predictions.quality
        return [x for x in outputs if x is not None]

    predictor = _LoadedPredictor(model, card, batch_size)
    tails = (torch.inference_mode()(tail) for tail in (top_k, nms))
    return StagedDetector("pytorch", model.device.type, predictor, network, *tails)


def in_onnxruntime(
    model: nn.Module,
    card: ModelCard,
    shape: tuple[int, int, int, int],
    top_k: TopKTail,
    nms: NmsTail,
    folder: Path,
    devices: Sequence[str] = ("cpu", "cuda"),
) -> list[StagedDetector]:
    """The exported detector on each device that onnxruntime has here.

    Args:
        model: on the CPU.
        card: of the model.
        shape: of the batches; the stages take no other.
        top_k, nms: the tails.
        folder: for files.
        devices: types of those that count.
    """
    network, images = Network(model), (torch.zeros(shape, dtype=torch.uint8),)
    with torch.no_grad():
        outputs = network(*images)
        parts = {"network": (network, images), "top_k": (top_k, outputs), "nms": (nms, outputs)}
        for name, (module, inputs) in parts.items():
            program = torch.export.export(module, inputs, strict=False)
            save_onnx(translate(program), folder / f"{name}.onnx")
    save_onnx(to_onnx(trace(DetectionGraph(model)), card.to_properties()), folder / "model.onnx")
    wanted = (provider for kind, provider in device_types().items() if kind in devices)
    return [_load(folder, provider, shape[0]) for provider in wanted]


def device_types() -> dict[str, str]:
    """The types of device that onnxruntime has here, and its names of what runs there."""
    providers = onnxruntime.get_available_providers()
    return {kind: x for kind, x in (("cpu", CPU), ("cuda", CUDA)) if x in providers}


def _load(folder: Path, provider: str, batch_size: int) -> StagedDetector:
    options = SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    predictor = OnnxPredictor(
        folder / "model.onnx",
        providers=[provider],
        batch_size=batch_size,
        session_options=options,
    )
    device = "cuda" if provider == CUDA else "cpu"
    parts = [
        _OnDevice(folder / f"{name}.onnx", provider, options, device)
        for name in ("network", "top_k", "nms")
    ]
    return StagedDetector("onnxruntime", device, predictor, *parts)


class _OnDevice:
    """A session whose outputs stay on its device, for the next session."""

    def __init__(self, path: Path, provider: str, options: SessionOptions, device: str):
        self.session = open_session(path, [provider], options)
        self.device = device

    def __call__(self, *inputs: np.ndarray | OrtValue) -> Sequence[OrtValue]:
        binding = self.session.io_binding()
        for info, value in zip(self.session.get_inputs(), inputs, strict=True):
            if isinstance(value, np.ndarray):
                binding.bind_cpu_input(info.name, value)
            else:
                binding.bind_ortvalue_input(info.name, value)
        for info in self.session.get_outputs():
            binding.bind_output(info.name, self.device)
        self.session.run_with_iobinding(binding)
        return binding.get_outputs()


class _LoadedPredictor(Predictor):
    """A :class:`Predictor` of a model that is there already."""

    def __init__(self, model: nn.Module, card: ModelCard, batch_size: int):
        BasePredictor.__init__(self, card, batch_size=batch_size)
        self.model = model
