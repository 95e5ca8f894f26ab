"""The up-sampling path of the heads with one level: from stride 32 to stride 4."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import fvcore.nn.weight_init as weight_init
import torch
from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from torch import Tensor, nn
from torchvision.ops import DeformConv2d

from ...errors import ConfigError
from .base import check_strides

STRIDE = 4
STRIDES = (4, 8, 16, 32)  # of the features it starts from
KERNEL = 3


class UpSample(nn.Module):
    """(B, C, H, W) -> (B, C', 2H, 2W): batch norm, ReLU, transposed convolution, the same again."""

    def __init__(self, channels: int, kernel: int):
        super().__init__()
        self.up_sample = nn.ConvTranspose2d(
            channels, channels, kernel, stride=2, padding=(kernel - 1) // 2,
            output_padding=kernel % 2, bias=False,
        )  # fmt: skip
        self.up_bn = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU()

    def up(self, x: Tensor) -> Tensor:
        return self.relu(self.up_bn(self.up_sample(x)))

    def reset_parameters(self) -> None:
        """Start as bilinear interpolation, channel by channel."""
        weight = self.up_sample.weight
        with torch.no_grad():
            weight.zero_()
            channels = torch.arange(len(weight))
            weight[channels, channels] = bilinear_kernel(weight.shape[-1])


class PlainUpSample(UpSample):
    """3x3 convolution, then 2x up-sampling (``DCN: False``)."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int):
        super().__init__(out_channels, kernel)
        self.conv = nn.Conv2d(in_channels, out_channels, KERNEL, padding=KERNEL // 2)
        self.bn = nn.BatchNorm2d(out_channels)
        self.reset_parameters()

    def forward(self, x: Tensor) -> Tensor:
        return self.up(self.relu(self.bn(self.conv(x))))

    def reset_parameters(self) -> None:
        super().reset_parameters()
        weight_init.c2_msra_fill(self.conv)


class DeformableUpSample(UpSample):
    """3x3 deformable convolution, then 2x up-sampling (``DCN: True``).

    The operator is torchvision's, which runs forward and backward on CPU and GPU.
    Source: Dai et al., "Deformable Convolutional Networks", and, modulated, Zhu et al., "Deformable
    ConvNets v2".
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int, modulated: bool):
        super().__init__(out_channels, kernel)
        self.num_offsets = 2 * KERNEL * KERNEL
        num_masks = KERNEL * KERNEL if modulated else 0
        self.dcn_offset = nn.Conv2d(
            in_channels, self.num_offsets + num_masks, KERNEL, padding=KERNEL // 2
        )
        self.dcn = DeformConv2d(in_channels, out_channels, KERNEL, padding=KERNEL // 2, bias=False)
        self.dcn_bn = nn.BatchNorm2d(out_channels)
        self.reset_parameters()

    def forward(self, x: Tensor) -> Tensor:
        offset, mask = self.dcn_offset(x).tensor_split([self.num_offsets], dim=1)
        mask = mask.sigmoid() if mask.shape[1] else None
        return self.up(self.relu(self.dcn_bn(self.dcn(x, offset, mask))))

    def reset_parameters(self) -> None:
        super().reset_parameters()
        weight_init.c2_msra_fill(self.dcn)
        # The first step is a plain convolution; offsets are learned from there.
        nn.init.zeros_(self.dcn_offset.weight)
        nn.init.zeros_(self.dcn_offset.bias)


class DeconvPath(nn.Module):
    """Three up-sampling steps from the coarsest feature, each met by a lateral 1x1 convolution.

    The names of the parameters are those of the official implementation.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        channels: Sequence[int],
        kernels: Sequence[int],
        deformable: bool,
        modulated: bool,
    ):
        """
        Args:
            in_channels: channels of the backbone's features, finest (stride 4) first.
            channels: input channels of the first step (those of the coarsest feature), then the
                output channels of the three steps.
            kernels: kernel sizes of the transposed convolutions.
            deformable: deformable instead of plain convolutions.
            modulated: deformable convolutions with a mask.

        Raises:
            ConfigError: other than four features, or channels that do not fit them.
        """
        super().__init__()
        _check_channels(in_channels, channels)

        def step(index: int) -> UpSample:
            size = channels[index], channels[index + 1], kernels[index]
            return DeformableUpSample(*size, modulated) if deformable else PlainUpSample(*size)

        self.deconv1, self.deconv2, self.deconv3 = (step(index) for index in range(3))
        self.lateral_conv1 = nn.Conv2d(in_channels[-2], channels[1], 1)
        self.lateral_conv2 = nn.Conv2d(in_channels[-3], channels[2], 1)
        self.lateral_conv3 = nn.Conv2d(in_channels[-4], channels[3], 1)
        self.output_conv = nn.Conv2d(channels[3], channels[3], KERNEL, padding=KERNEL // 2)

    def forward(self, features: list[Tensor]) -> Tensor:
        """Features at strides 4, 8, 16, 32 -> one at stride 4."""
        x = self.deconv1(features[-1]) + self.lateral_conv1(features[-2])
        x = self.deconv2(x) + self.lateral_conv2(features[-3])
        x = self.deconv3(x) + self.lateral_conv3(features[-4])
        return self.output_conv(x)

    def reset_parameters(self) -> None:
        for step in (self.deconv1, self.deconv2, self.deconv3):
            step.reset_parameters()
        for conv in (self.lateral_conv1, self.lateral_conv2, self.lateral_conv3, self.output_conv):
            weight_init.c2_xavier_fill(conv)


def deconv_config(cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> dict[str, Any]:
    """Constructor arguments of :class:`DeconvPath`.

    Raises:
        ConfigError: the features of the backbone do not have the strides that it starts from.
    """
    onenet = cfg.MODEL.OneNet
    check_strides(f'MODEL.OneNet.HEAD "{onenet.HEAD}"', STRIDES, onenet.IN_FEATURES, input_shape)
    return {
        "in_channels": [input_shape[f].channels for f in onenet.IN_FEATURES],
        "channels": onenet.DECONV_CHANNEL,
        "kernels": onenet.DECONV_KERNEL,
        "deformable": onenet.DCN,
        "modulated": onenet.MODULATE_DEFORM,
    }


def _check_channels(in_channels: Sequence[int], channels: Sequence[int]) -> None:
    if len(in_channels) != 4 or len(channels) != 4:
        raise ConfigError(
            "A head with one level needs four MODEL.OneNet.IN_FEATURES (strides 4 to 32) and "
            f"four DECONV_CHANNEL, got {len(in_channels)} and {len(channels)}."
        )
    if channels[0] != in_channels[-1]:
        raise ConfigError(
            f"MODEL.OneNet.DECONV_CHANNEL starts with {channels[0]}, but the backbone's last "
            f"feature has {in_channels[-1]} channels; set it to {in_channels[-1]}."
        )


def bilinear_kernel(size: int) -> Tensor:
    """(size, size) weights with which a transposed convolution of stride 2 interpolates."""
    center = (size - 1) / 2
    line = 1 - (torch.arange(size) - center).abs() / ((size + 1) // 2)
    return torch.outer(line, line)
