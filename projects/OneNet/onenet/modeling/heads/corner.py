"""Boxes by their two corners, on one map at stride 4 (``MODEL.OneNet.HEAD: "CornerNet"``)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from detectron2.config import CfgNode, configurable
from detectron2.layers import ShapeSpec
from torch import Tensor, nn

from ...errors import ConfigError
from ...geometry import square_boxes
from ...structures import MAIN, CornerPredictions, Predictions, Priors
from .base import DenseHead
from .corner_grouping import group_corners
from .corner_pooling import bottom_right_pool, top_left_pool
from .deconv import STRIDE, DeconvPath, deconv_config
from .init import check_init, init_scores, prior_init, published_init
from .priors import point_priors


class CornerBranch(nn.Module):
    """Class logits, embedding and offset of one of the corners, at every cell.

    Two convolutions say what is looked for along the sides of an object, corner pooling brings it
    to the corner. Source: CornerNet, figure 7.
    """

    def __init__(self, channels: int, num_classes: int, pool: Callable[[Tensor, Tensor], Tensor]):
        """
        Args:
            channels: of the feature map and of all that is between it and the outputs.
            num_classes: K.
            pool: :func:`top_left_pool` or :func:`bottom_right_pool`.
        """
        super().__init__()
        self.pool = pool
        self.rows, self.columns = (_convolution(channels, 3, nn.ReLU()) for _ in range(2))
        self.pooled = _convolution(channels, 3)
        self.skip = _convolution(channels, 1)
        self.merged = _convolution(channels, 3, nn.ReLU())
        self.hidden = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(3))
        self.outputs = nn.ModuleList(nn.Conv2d(channels, n, 1) for n in (num_classes, 1, 2))

    def forward(self, feature: Tensor) -> list[Tensor]:
        """(B, C, H, W) -> logits (B, K, H * W), embedding (B, 1, H * W), offset (B, 2, H * W)."""
        pooled = self.pooled(self.pool(self.rows(feature), self.columns(feature)))
        merged = self.merged((pooled + self.skip(feature)).relu())
        return [
            output(hidden(merged).relu()).flatten(2)
            for hidden, output in zip(self.hidden, self.outputs, strict=True)
        ]


class CornerNetHead(DenseHead):
    """Predicts the corners of objects on two maps, and puts pairs of them together.

    The samples are the cells of the map of top-left corners, and then those of the map of
    bottom-right corners. In inference :meth:`group` makes boxes of them.

    Source: CornerNet (Law and Deng, ECCV 2018). There the map is that of an hourglass network of
    511 x 511 pixels; here, that of the single-level head, so that backbones, schedules and
    resolution are those of the other heads.
    """

    @configurable
    def __init__(
        self,
        *,
        in_channels: Sequence[int],
        num_classes: int,
        channels: Sequence[int],
        kernels: Sequence[int] = (4, 4, 4),
        deformable: bool = True,
        modulated: bool = True,
        init: str = "prior",
        prior_prob: float = 0.01,
        topk: int = 100,
        distance: float = 0.5,
    ):
        """
        Args:
            in_channels: channels of the features at strides 4, 8, 16 and 32.
            num_classes: K.
            channels, kernels, deformable, modulated: see :class:`DeconvPath`.
            init: "prior" or "published", see ``init.py``.
            prior_prob: initial score of every corner.
            topk: corners of each map that may be paired.
            distance: largest difference of the embeddings of a pair.

        Raises:
            ConfigError: an unknown name, no corner, or other than four features.
        """
        super().__init__()
        check_init(init)
        if topk < 1:
            raise ConfigError(f"MODEL.OneNet.CORNERNET.TOPK must be at least 1, got {topk}.")
        self.topk = topk
        self.distance = distance
        self.deconv = DeconvPath(in_channels, channels, kernels, deformable, modulated)
        self.corners = nn.ModuleList(
            CornerBranch(channels[-1], num_classes, pool)
            for pool in (top_left_pool, bottom_right_pool)
        )
        self.reset_parameters(init, prior_prob)

    @classmethod
    def from_config(cls, cfg, input_shape: dict[str, ShapeSpec]):
        onenet = cfg.MODEL.OneNet
        _check_options(onenet)
        return {
            **deconv_config(cfg, input_shape),
            "num_classes": onenet.NUM_CLASSES,
            "init": onenet.HEAD_INIT,
            "prior_prob": onenet.PRIOR_PROB,
            "topk": onenet.CORNERNET.TOPK,
            "distance": onenet.CORNERNET.DISTANCE,
        }

    def reset_parameters(self, init: str, prior_prob: float) -> None:
        """Initialise the head as the others are."""
        if init == "published":
            published_init(self)
        else:
            self.deconv.reset_parameters()
            outputs = [layer for corner in self.corners for layer in corner.outputs]
            prior_init(hidden=self.corners, outputs=outputs)
        for corner in self.corners:
            init_scores(corner.outputs[0], prior_prob)

    def forward(self, features: list[Tensor]) -> tuple[dict[str, Predictions], Priors]:
        feature = self.deconv(features)
        priors = point_priors([feature] * 2, [STRIDE] * 2, scale=1)
        maps = zip(*(corner(feature) for corner in self.corners), strict=True)
        logits, embedding, offset = (torch.cat(both, dim=2).transpose(1, 2) for both in maps)
        corners = priors.points + (offset.float() - 0.5) * STRIDE
        boxes = torch.cat([corners - STRIDE / 2, corners + STRIDE / 2], dim=-1)
        predictions = CornerPredictions(logits, boxes, offset=offset, embedding=embedding[..., 0])
        return {MAIN: predictions}, priors

    def group(
        self, branches: dict[str, Predictions], priors: Priors
    ) -> tuple[dict[str, Predictions], Priors]:
        corners = branches[MAIN].float()
        pairs = group_corners(corners, priors.shapes[0], self.topk, self.distance)
        return {MAIN: pairs}, _priors_of_pairs(pairs)


def _priors_of_pairs(pairs: Predictions) -> Priors:
    """A pair may be anywhere: nothing is known of it before the image is."""
    count = pairs.logits.shape[1]
    points = pairs.boxes.new_zeros(count, 2)
    stride = torch.full_like(points[:, 0], STRIDE)
    level = torch.zeros_like(stride, dtype=torch.int64)
    return Priors(square_boxes(points, stride), points, stride, level, (count,))


def _convolution(channels: int, kernel: int, *activation: nn.Module) -> nn.Sequential:
    """Convolution and batch norm, and perhaps an activation."""
    convolution = nn.Conv2d(channels, channels, kernel, padding=kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(channels), *activation)


def _check_options(onenet: CfgNode) -> None:
    """Refuse what belongs to heads whose samples are objects."""
    switched_on = {
        "NUM_STAGES": (onenet.NUM_STAGES != 1, 1),
        "CENTERNESS": (onenet.CENTERNESS, False),
        "SELECTOR.ENABLED": (onenet.SELECTOR.ENABLED, False),
        "AUX.ASSIGNER": (bool(onenet.AUX.ASSIGNER), '""'),
    }
    for key, (on, off) in switched_on.items():
        if on:
            raise ConfigError(
                f"MODEL.OneNet.{key} is for heads that predict a box at each sample, and HEAD "
                f'"CornerNet" predicts corners: set it to {off}, or choose another HEAD.'
            )
