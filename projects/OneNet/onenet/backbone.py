"""ResNets of other widths than Detectron2 builds."""

from __future__ import annotations

from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY
from detectron2.modeling.backbone.resnet import BasicBlock, BasicStem, ResNet

from .errors import ConfigError

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}


@BACKBONE_REGISTRY.register()
def build_basic_resnet_backbone(cfg, input_shape: ShapeSpec) -> ResNet:
    """A ResNet of basic blocks and any width, to be trained from scratch.

    Detectron2's own builder admits R-18 and R-34 in full width only. Reads ``MODEL.RESNETS``:
    ``DEPTH`` (18 or 34), ``STEM_OUT_CHANNELS``, ``RES2_OUT_CHANNELS`` (doubled by each stage),
    ``NORM`` and ``OUT_FEATURES``.

    Raises:
        ConfigError: another depth.
    """
    resnets = cfg.MODEL.RESNETS
    if resnets.DEPTH not in BLOCKS:
        raise ConfigError(
            "build_basic_resnet_backbone: MODEL.RESNETS.DEPTH must be one of "
            f"{', '.join(map(str, BLOCKS))}, got {resnets.DEPTH}."
        )
    stem = BasicStem(input_shape.channels, resnets.STEM_OUT_CHANNELS, norm=resnets.NORM)
    stages, channels = [], resnets.STEM_OUT_CHANNELS
    for index, blocks in enumerate(BLOCKS[resnets.DEPTH]):
        width = resnets.RES2_OUT_CHANNELS * 2**index
        strides = [1 if index == 0 else 2] + [1] * (blocks - 1)
        stages.append(
            ResNet.make_stage(
                BasicBlock,
                blocks,
                stride_per_block=strides,
                in_channels=channels,
                out_channels=width,
                norm=resnets.NORM,
            )
        )
        channels = width
    return ResNet(stem, stages, out_features=resnets.OUT_FEATURES)
