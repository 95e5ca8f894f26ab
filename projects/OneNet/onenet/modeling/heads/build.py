"""Which head a config selects."""

from __future__ import annotations

from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec

from ...errors import ConfigError, choose, nearest
from .base import DenseHead
from .corner import CornerNetHead
from .fcos import FCOSHead
from .retinanet import RetinaNetHead
from .single_level import SingleLevelHead

# By the names of the official implementation, which are not those of the classes.
HEADS: dict[str, type[DenseHead]] = {
    "CenterNet": SingleLevelHead,
    "CornerNet": CornerNetHead,
    "FCOS": FCOSHead,
    "RetinaNet": RetinaNetHead,
}


def build_head(cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> DenseHead:
    """Build the head that ``MODEL.OneNet.HEAD`` selects.

    Args:
        cfg: a config with the keys of ``add_onenet_config``.
        input_shape: the backbone's features by name.

    Raises:
        ConfigError: there is no such head, or a feature is not in ``input_shape``.
    """
    name = choose("MODEL.OneNet.HEAD", cfg.MODEL.OneNet.HEAD, HEADS)
    for feature in cfg.MODEL.OneNet.IN_FEATURES:
        if feature not in input_shape:
            raise ConfigError(
                f'MODEL.OneNet.IN_FEATURES: the backbone has no feature "{feature}".'
                f"{nearest(feature, input_shape)}"
            )
    return HEADS[name](cfg, input_shape)
