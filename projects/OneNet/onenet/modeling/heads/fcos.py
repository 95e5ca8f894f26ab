"""A point on every cell of a feature pyramid (``MODEL.OneNet.HEAD: "FCOS"``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from detectron2.config import configurable
from detectron2.layers import ShapeSpec
from torch import Tensor, nn

from ...geometry import decode_ltrb
from ...structures import Priors
from .branches import branch_options
from .priors import point_priors
from .towers import TowerHead, auxiliary, level_strides, tower_config


class Scale(nn.Module):
    """A learned factor."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale


class FCOSHead(TowerHead):
    """Predicts the distances from each location to the four sides of its box.

    They are ``relu(scale * x) * stride`` with a learned scale a level. Source: FCOS (Tian et al.,
    ICCV 2019), section 3.2, as ``FCOSHead`` of OneNet's official implementation has it.
    """

    @configurable
    def __init__(
        self,
        *,
        strides: Sequence[int],
        init: str = "prior",
        prior_prob: float = 0.01,
        prior_scale: float = 8.0,
        **towers: Any,
    ):
        """
        Args:
            strides: of the features in pixels, finest first.
            init: "prior" or "published", see ``init.py``.
            prior_prob: initial score of every sample.
            prior_scale: side of a prior box in strides; the initial boxes with init "prior".
            towers: see :class:`TowerHead`.
        """
        super().__init__(**towers)
        self.strides = tuple(strides)
        self.prior_scale = prior_scale
        width = self.cls_score.in_channels
        self.ltrb_pred = nn.Conv2d(width, 4, 3, padding=1)
        self.scales = nn.ModuleList(Scale() for _ in strides)
        self.reset_parameters(init, prior_prob, self.ltrb_pred)
        if init == "prior":
            nn.init.constant_(self.ltrb_pred.bias, prior_scale / 2)

    @classmethod
    def from_config(cls, cfg, input_shape: dict[str, ShapeSpec]):
        onenet = cfg.MODEL.OneNet
        options = {
            **tower_config(cfg, input_shape),
            "norm": onenet.CONV_NORM,
            "strides": level_strides(cfg, input_shape),
            "init": onenet.HEAD_INIT,
            "prior_prob": onenet.PRIOR_PROB,
            "prior_scale": onenet.PRIOR_SCALE,
        }
        branches = branch_options(
            cfg, onenet.CONV_CHANNELS, 1, lambda convs: cls(**{**options, **auxiliary(cfg, convs)})
        )
        return {**options, "branches": branches}

    def locate(self, features: list[Tensor]) -> Priors:
        return point_priors(features, self.strides, self.prior_scale)

    def regress(self, feature: Tensor, level: int) -> Tensor:
        return F.relu(self.scales[level](self.ltrb_pred(feature).float()))

    def decode(self, encodings: Tensor, priors: Priors) -> Tensor:
        return decode_ltrb(priors.points, encodings * priors.stride[:, None])
