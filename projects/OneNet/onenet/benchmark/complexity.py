"""Parameters and floating-point operations of a detector, by module."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.modeling import META_ARCH_REGISTRY
from fvcore.nn import FlopCountAnalysis, flop_count_table, parameter_count
from fvcore.nn.jit_handles import conv_flop_count, get_shape
from torch import Tensor, nn

from ..compat import padding_multiple
from ..errors import ConfigError
from ..meta_arch import MIN_SIZE_DIVISIBILITY, OneNet


@dataclass(frozen=True)
class Complexity:
    """Of a detector at one image size.

    Attributes:
        parameters: their number.
        flops: multiply-adds of the network for one image; additions alone do not count.
        image_size: height and width of the padded image in pixels.
        table: both by module, as text.
        operators: multiply-adds by operator.
    """

    parameters: int
    flops: int
    image_size: tuple[int, int]
    table: str
    operators: dict[str, int]


def analyze(cfg: CfgNode, image_size: Sequence[int], max_depth: int = 3) -> Complexity:
    """Count what the network of a config needs for one image, by running it once on the CPU.

    Args:
        cfg: with ``MODEL.META_ARCHITECTURE`` OneNet.
        image_size: height and width in pixels; they are padded as the model does it.
        max_depth: of the modules in the table.

    Raises:
        ConfigError: another meta-architecture.
    """
    name = cfg.MODEL.META_ARCHITECTURE
    if name != "OneNet":
        raise ConfigError(f'MODEL.META_ARCHITECTURE must be "OneNet" to be analysed, got "{name}".')
    model = META_ARCH_REGISTRY.get(name)(cfg).eval()
    multiple = padding_multiple(model.backbone, MIN_SIZE_DIVISIBILITY)
    height, width = (-(-side // multiple) * multiple for side in image_size)
    network = _Network(model)
    flops = FlopCountAnalysis(network, torch.zeros(1, 3, height, width)).set_op_handle(
        "torchvision::deform_conv2d", _deformable_convolution
    )
    flops.unsupported_ops_warnings(False)  # element-wise ones and the like, which count nothing
    return Complexity(
        parameters=parameter_count(network)[""],
        flops=int(flops.total()),
        image_size=(height, width),
        table=flop_count_table(flops, max_depth=max_depth),
        operators={name: int(count) for name, count in flops.by_operator().items()},
    )


class _Network(nn.Module):
    """What takes time in a detector: from normalised images to raw predictions."""

    def __init__(self, model: OneNet):
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        branches, _ = self.model.predict(images)
        predictions = next(iter(branches.values()))
        return predictions.logits, predictions.boxes


def _deformable_convolution(inputs: Sequence[Any], outputs: Sequence[Any]) -> int:
    """As many as those of a plain convolution; interpolating its input is left out."""
    return conv_flop_count(get_shape(inputs[0]), get_shape(inputs[1]), get_shape(outputs[0]))
