"""Which neck a config selects."""

from __future__ import annotations

from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from torch import nn

from ...errors import ConfigError, choose
from .asff import ASFF

NECKS = ("", "ASFF")  # "" = none


def build_neck(cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> nn.Module:
    """Build the neck that ``MODEL.OneNet.NECK`` selects; it leaves the shapes of features alone.

    Its norm is ``MODEL.FPN.NORM``.

    Args:
        cfg: the config.
        input_shape: the backbone's features by name, with all of ``IN_FEATURES`` among them.

    Raises:
        ConfigError: there is no such neck, or the features are no pyramid.
    """
    onenet = cfg.MODEL.OneNet
    if choose("MODEL.OneNet.NECK", onenet.NECK, NECKS) == "":
        return nn.Identity()
    shapes = [input_shape[name] for name in onenet.IN_FEATURES]
    strides = [shape.stride for shape in shapes]
    if strides != [strides[0] * 2**index for index in range(len(strides))]:
        raise ConfigError(
            f'MODEL.OneNet.NECK "{onenet.NECK}" mixes levels of which each has twice the stride of '
            f"the one before; those of MODEL.OneNet.IN_FEATURES {onenet.IN_FEATURES} are {strides}."
        )
    return ASFF([shape.channels for shape in shapes], cfg.MODEL.FPN.NORM)
