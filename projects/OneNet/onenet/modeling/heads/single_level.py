"""OneNet's own head: one map at stride 4 (``MODEL.OneNet.HEAD: "CenterNet"``)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from detectron2.config import CfgNode, configurable
from detectron2.layers import ShapeSpec
from torch import Tensor, nn

from ...errors import ConfigError, choose
from ...geometry import decode_ltrb
from ...structures import Predictions, Priors
from .base import DenseHead
from .branches import BranchOptions, branch_options
from .deconv import STRIDE, DeconvPath, deconv_config
from .fcos import FCOSHead
from .init import check_init, init_scores, prior_init, published_init
from .priors import point_priors

ACTIVATIONS = {"relu": F.relu, "gelu": F.gelu}


class SingleLevelHead(DenseHead):
    """Up-samples the backbone's features to stride 4 and predicts there.

    Class logits and the distances (ReLU'd, in pixels) from each location to the four sides of its
    box. Source: OneNet, section 4 and ``head.py`` of the official implementation, whose parameter
    names are kept.

    With several stages (training only; OneNet, "multi-head"), each later stage is a branch that
    sees the first feature concatenated with that of the stage before, brought back to the same
    width by a convolution; all stages share all weights and all are supervised.
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
        activation: str = "relu",
        num_stages: int = 1,
        init: str = "prior",
        prior_prob: float = 0.01,
        prior_scale: float = 8.0,
        centerness: bool = False,
        branches: BranchOptions | None = None,
    ):
        """
        Args:
            in_channels: channels of the features at strides 4, 8, 16 and 32.
            num_classes: K.
            channels, kernels, deformable, modulated: see :class:`DeconvPath`.
            activation: "relu" or "gelu".
            num_stages: prediction stages in training.
            init: "prior" or "published", see :meth:`reset_parameters`.
            prior_prob: initial score of every sample.
            prior_scale: side of a prior box in strides; the initial boxes with init "prior".
            centerness: predict a centerness logit beside the classes.
            branches: what there is beside the main branch; None = nothing.

        Raises:
            ConfigError: an unknown name, a stage count below 1, or other than four features.
        """
        super().__init__(branches)
        _check(activation, num_stages, init)
        width = channels[-1]
        self.branches += tuple(f"stage{index}" for index in range(1, num_stages))
        self.prior_scale = prior_scale
        self.activation = ACTIVATIONS[activation]
        self.deconv = DeconvPath(in_channels, channels, kernels, deformable, modulated)
        self.feat1 = nn.Conv2d(width, width, 3, padding=1)
        self.cls_score = nn.Conv2d(width, num_classes, 3, padding=1)
        self.ltrb_pred = nn.Conv2d(width, 4, 3, padding=1)
        self.centerness = nn.Conv2d(width, 1, 3, padding=1) if centerness else None
        self.next_stage = nn.Conv2d(2 * width, width, 3, padding=1) if num_stages > 1 else None
        self.reset_parameters(init, prior_prob)

    @classmethod
    def from_config(cls, cfg, input_shape: dict[str, ShapeSpec]):
        onenet = cfg.MODEL.OneNet
        return {
            **deconv_config(cfg, input_shape),
            "num_classes": onenet.NUM_CLASSES,
            "activation": onenet.ACTIVATION,
            "num_stages": onenet.NUM_STAGES,
            "init": onenet.HEAD_INIT,
            "prior_prob": onenet.PRIOR_PROB,
            "prior_scale": onenet.PRIOR_SCALE,
            "centerness": onenet.CENTERNESS,
            "branches": branch_options(cfg, onenet.DECONV_CHANNEL[-1], 1, partial(_auxiliary, cfg)),
        }

    @torch.no_grad()
    def reset_parameters(self, init: str, prior_prob: float) -> None:
        """Initialise the head.

        "published": Xavier-uniform for everything with more than one dimension. That is what the
        official constructor ends with; it overwrites the bilinear kernels and the zero offsets
        that its layers had just set, but not their zero biases.
        "prior": keeps them, and starts with near-constant outputs: every sample predicts its prior
        box, so that at first the classes alone decide between samples with similar boxes.
        """
        if init == "published":
            published_init(self)
        else:
            self.deconv.reset_parameters()
            prior_init(
                hidden=(self.feat1, self.next_stage),
                outputs=(self.cls_score, self.ltrb_pred, self.centerness),
            )
            nn.init.constant_(self.ltrb_pred.bias, self.prior_scale * STRIDE / 2)
        init_scores(self.cls_score, prior_prob)

    def forward(self, features: list[Tensor]) -> tuple[dict[str, Predictions], Priors]:
        shared = self.deconv(features)
        first = feature = self.activation(self.feat1(self.main_input(shared)))
        priors = point_priors([first], [STRIDE], self.prior_scale)
        branches = self.join(self.predict(first, priors), [first], [shared])
        if self.training and self.next_stage is not None:
            for stage in self.branches[1:]:
                feature = self.activation(self.next_stage(torch.cat([first, feature], dim=1)))
                branches[stage] = self.predict(feature, priors)
        return branches, priors

    def predict(self, feature: Tensor, priors: Priors) -> Predictions:
        """(B, C, H, W) -> predictions at R = H * W samples; the logits stay where they are."""
        logits = self.cls_score(feature).flatten(2).transpose(1, 2)
        distances = F.relu(self.ltrb_pred(feature)).float().flatten(2).transpose(1, 2)
        quality = None
        if self.centerness is not None:
            quality = self.centerness(feature).flatten(1)
        return Predictions(logits, decode_ltrb(priors.points, distances), quality)


def _auxiliary(cfg: CfgNode, num_convs: int) -> FCOSHead:
    """A head on the up-sampled map."""
    onenet = cfg.MODEL.OneNet
    width = onenet.DECONV_CHANNEL[-1]
    return FCOSHead(
        in_channels=width,
        channels=width,
        num_classes=onenet.NUM_CLASSES,
        num_convs=num_convs,
        norm="",
        centerness=onenet.CENTERNESS,
        strides=[STRIDE],
        init=onenet.HEAD_INIT,
        prior_prob=onenet.PRIOR_PROB,
        prior_scale=onenet.PRIOR_SCALE,
    )


def _check(activation: str, stages: int, init: str) -> None:
    if stages < 1:
        raise ConfigError(f"MODEL.OneNet.NUM_STAGES must be at least 1, got {stages}.")
    choose("MODEL.OneNet.ACTIVATION", activation, ACTIVATIONS)
    check_init(init)
