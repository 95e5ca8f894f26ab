"""Several anchors on every cell of a feature pyramid (``MODEL.OneNet.HEAD: "RetinaNet"``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from detectron2.config import configurable
from detectron2.layers import ShapeSpec
from detectron2.modeling.anchor_generator import build_anchor_generator
from detectron2.modeling.box_regression import Box2BoxTransform
from torch import Tensor, nn

from ...errors import ConfigError
from ...geometry import box_centers
from ...structures import Priors
from .branches import branch_options
from .priors import grid_shapes, level_and_stride
from .towers import TowerHead, auxiliary, level_strides, tower_config


class RetinaNetHead(TowerHead):
    """Predicts how each anchor is to be shifted and scaled.

    Anchors and box encoding are Detectron2's; all weights of the encoding are 1. Source: RetinaNet
    (Lin et al., ICCV 2017), section 4, as ``RetinaHead`` of OneNet's official implementation has
    it: no normalisation in the towers.
    """

    @configurable
    def __init__(
        self,
        *,
        anchor_generator: nn.Module,
        strides: Sequence[int],
        init: str = "prior",
        prior_prob: float = 0.01,
        norm: str = "",
        **towers: Any,
    ):
        """
        Args:
            anchor_generator: feature maps -> boxes of their anchors; the same number of anchors a
                location on every level.
            strides: of the features in pixels, finest first.
            init: "prior" or "published", see ``init.py``; with "prior" the anchors are the initial
                boxes.
            prior_prob: initial score of every sample.
            norm, towers: see :class:`TowerHead`.

        Raises:
            ConfigError: the levels have different numbers of anchors.
        """
        num_anchors = set(anchor_generator.num_anchors)
        if len(num_anchors) != 1:
            raise ConfigError(
                "MODEL.ANCHOR_GENERATOR: every level needs the same number of anchors a location, "
                f"got {anchor_generator.num_anchors}."
            )
        super().__init__(num_anchors=num_anchors.pop(), norm=norm, **towers)
        self.strides = tuple(strides)
        self.anchor_generator = anchor_generator
        self.transform = Box2BoxTransform(weights=(1.0, 1.0, 1.0, 1.0))
        width = self.cls_score.in_channels
        self.bbox_pred = nn.Conv2d(width, 4 * anchor_generator.num_anchors[0], 3, padding=1)
        self.reset_parameters(init, prior_prob, self.bbox_pred)

    @classmethod
    def from_config(cls, cfg, input_shape: dict[str, ShapeSpec]):
        onenet = cfg.MODEL.OneNet
        strides = level_strides(cfg, input_shape)
        anchor_shapes = [ShapeSpec(stride=stride) for stride in strides]
        generator = build_anchor_generator(cfg, anchor_shapes)
        options = {
            **tower_config(cfg, input_shape),
            "anchor_generator": generator,
            "strides": strides,
            "init": onenet.HEAD_INIT,
            "prior_prob": onenet.PRIOR_PROB,
        }
        branches = branch_options(
            cfg,
            onenet.CONV_CHANNELS,
            generator.num_anchors[0],
            lambda convs: cls(**{**options, **auxiliary(cfg, convs)}),
        )
        return {**options, "branches": branches}

    @torch.no_grad()
    def locate(self, features: list[Tensor]) -> Priors:
        levels = [boxes.tensor for boxes in self.anchor_generator(features)]
        sizes = tuple(boxes.shape[0] for boxes in levels)  # not len(): symbolic in an export
        boxes = torch.cat(levels)
        level, stride = level_and_stride(sizes, self.strides, boxes.device)
        anchors = self.anchor_generator.num_anchors[0]
        return Priors(
            boxes, box_centers(boxes), stride, level, sizes, grid_shapes(features), anchors
        )

    def regress(self, feature: Tensor, level: int) -> Tensor:
        return self.bbox_pred(feature)

    def decode(self, encodings: Tensor, priors: Priors) -> Tensor:
        anchors = priors.boxes.expand_as(encodings)
        boxes = self.transform.apply_deltas(encodings.reshape(-1, 4), anchors.reshape(-1, 4))
        return boxes.view_as(encodings)

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args) -> None:
        # Older Detectron2 versions saved the anchors, which the generator makes anew.
        stale = [key for key in state_dict if key.startswith(f"{prefix}anchor_generator.")]
        for key in stale:
            del state_dict[key]
        super()._load_from_state_dict(state_dict, prefix, *args)
