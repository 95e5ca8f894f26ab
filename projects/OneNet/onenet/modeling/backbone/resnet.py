"""ResNets of other widths than Detectron2 builds, and the feature pyramid on any backbone."""

from __future__ import annotations

from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY
from detectron2.modeling.backbone import Backbone
from detectron2.modeling.backbone.fpn import FPN, LastLevelP6P7
from detectron2.modeling.backbone.resnet import BasicBlock, BasicStem, ResNet

from ...errors import ConfigError, nearest

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}
TOP_FEATURE = "res5"  # from which LastLevelP6P7 goes on


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


@BACKBONE_REGISTRY.register()
def build_basic_resnet_fpn_backbone(cfg, input_shape: ShapeSpec) -> FPN:
    """A feature pyramid p3 to p7 on :func:`build_basic_resnet_backbone`.

    Like Detectron2's ``build_retinanet_resnet_fpn_backbone``, for any width.
    """
    return build_fpn(cfg, build_basic_resnet_backbone(cfg, input_shape))


def build_fpn(cfg, bottom_up: Backbone) -> FPN:
    """A feature pyramid p3 to p7 on any backbone with features res3, res4 and res5.

    Reads ``MODEL.FPN``: ``IN_FEATURES`` (the last of them must be res5), ``OUT_CHANNELS``, ``NORM``
    and ``FUSE_TYPE``.

    Raises:
        ConfigError: the backbone lacks one of the features.
    """
    fpn = cfg.MODEL.FPN
    available = bottom_up.output_shape()
    for feature in (*fpn.IN_FEATURES, TOP_FEATURE):
        if feature not in available:
            raise ConfigError(
                f'MODEL.FPN.IN_FEATURES: the backbone gives no feature "{feature}".'
                f"{nearest(feature, available)}"
            )
    top_channels = available[TOP_FEATURE].channels
    return FPN(
        bottom_up=bottom_up,
        in_features=fpn.IN_FEATURES,
        out_channels=fpn.OUT_CHANNELS,
        norm=fpn.NORM,
        top_block=LastLevelP6P7(top_channels, fpn.OUT_CHANNELS),
        fuse_type=fpn.FUSE_TYPE,
    )
