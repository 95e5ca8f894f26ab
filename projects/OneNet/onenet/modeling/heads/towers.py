"""What the heads on a feature pyramid share: two towers of convolutions for all levels."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec, get_norm
from torch import Tensor, nn

from ...errors import ConfigError, choose
from ...structures import GuidedAnchors, Predictions, Priors
from .base import DenseHead, check_strides
from .branches import BranchOptions
from .guide import AnchorGuide, without_background
from .init import check_init, init_scores, prior_init, published_init
from .priors import concat_levels

GUIDED = "GuidedAnchoring"  # the rule that needs anchors of each image
NORMS = ("GN", "BN", "SyncBN", "FrozenBN", "")


class TowerHead(DenseHead):
    """Class logits from one tower, boxes and centerness from another, on every level.

    A subclass adds its box layer and says where the samples are. Names of parameters are those of
    the official implementation. Centerness sits on the box tower, as in ATSS and the later FCOS;
    the FCOS paper had it on the class tower at first and found the box tower slightly better.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        num_classes: int,
        num_anchors: int = 1,
        num_convs: int = 4,
        channels: int = 256,
        norm: str = "GN",
        centerness: bool = False,
        guided: bool = False,
        branches: BranchOptions | None = None,
    ):
        """
        Args:
            in_channels: channels of the features, on every level.
            num_classes: K.
            num_anchors: A, samples a location.
            num_convs: 3x3 convolutions in each tower.
            channels: output channels of each of them.
            norm: normalisation after each of them: "GN", "BN", "SyncBN", "FrozenBN" or "" (none).
            centerness: predict a centerness logit of every sample.
            guided: predict the anchors too, see :class:`AnchorGuide`; for one sample a location.
            branches: what there is beside the main branch; None = nothing.

        Raises:
            ConfigError: an unknown norm, or towers that cannot be built.
        """
        super().__init__(branches)
        _check_towers(num_convs, channels, norm)
        self.num_classes = num_classes
        self.cls_conv_module = build_tower(in_channels, channels, num_convs, norm)
        self.reg_conv_module = build_tower(in_channels, channels, num_convs, norm)
        self.cls_score = nn.Conv2d(channels, num_anchors * num_classes, 3, padding=1)
        self.centerness = nn.Conv2d(channels, num_anchors, 3, padding=1) if centerness else None
        self.guide = AnchorGuide(channels) if guided else None

    def reset_parameters(self, init: str, prior_prob: float, box_layer: nn.Conv2d) -> None:
        """Initialise the head as published, or with near-constant outputs (see ``init.py``)."""
        check_init(init)
        if init == "published":
            published_init(self)
        else:
            prior_init(
                hidden=(self.cls_conv_module, self.reg_conv_module),
                outputs=(self.cls_score, box_layer, self.centerness),
            )
        init_scores(self.cls_score, prior_prob)

    def locate(self, features: list[Tensor]) -> Priors:
        """The samples of these feature maps."""
        raise NotImplementedError

    def regress(self, feature: Tensor, level: int) -> Tensor:
        """Box encodings (B, A * 4, H, W) from the box tower's feature on a level."""
        raise NotImplementedError

    def decode(self, encodings: Tensor, priors: Priors) -> Tensor:
        """Boxes (B, R, 4) in pixels from their encodings (B, R, 4), float32."""
        raise NotImplementedError

    def forward(self, features: list[Tensor]) -> tuple[dict[str, Predictions], Priors]:
        priors, anchors = self.locate(features), None
        shared = [self.main_input(feature) for feature in features]
        towers = (
            [self.cls_conv_module(x) for x in shared],
            [self.reg_conv_module(x) for x in shared],
        )
        if self.guide is not None:
            towers, anchors = self.guide(*towers, priors)
        predictions = self.predict(*towers, priors, anchors)
        return self.join(predictions, towers[1], features), priors

    def predict(
        self,
        class_towers: list[Tensor],
        box_towers: list[Tensor],
        priors: Priors,
        anchors: GuidedAnchors | None,
    ) -> Predictions:
        """What the output layers make of the towers' features on every level."""
        logits = [self.cls_score(x) for x in class_towers]
        logits = concat_levels(logits, self.num_classes).transpose(1, 2)
        encodings = [self.regress(x, level) for level, x in enumerate(box_towers)]
        encodings = concat_levels(encodings, 4).transpose(1, 2).float()
        quality = None
        if self.centerness is not None:
            quality = concat_levels([self.centerness(x) for x in box_towers], 1)[:, 0]
        if anchors is not None:
            priors = replace(priors, boxes=anchors.boxes.detach())
            logits = logits if self.training else without_background(logits, anchors)
        return Predictions(logits, self.decode(encodings, priors), quality, anchors)


def build_tower(in_channels: int, channels: int, num_convs: int, norm: str) -> nn.Sequential:
    """3x3 convolutions without bias, each followed by its norm (if any) and ReLU."""
    layers: list[nn.Module] = []
    for index in range(num_convs):
        width = channels if index else in_channels
        layers.append(nn.Conv2d(width, channels, 3, padding=1, bias=False))
        if norm:
            layers.append(get_norm(norm, channels))
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


def tower_config(cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> dict[str, Any]:
    """Constructor arguments of :class:`TowerHead` that are the same for all its subclasses.

    Raises:
        ConfigError: the features do not suit towers that are shared over levels, or several stages
            are asked for.
    """
    onenet = cfg.MODEL.OneNet
    if onenet.NUM_STAGES != 1:
        raise ConfigError(
            f"MODEL.OneNet.NUM_STAGES: the {onenet.HEAD} head has one stage, got "
            f'{onenet.NUM_STAGES}; several need MODEL.OneNet.HEAD "CenterNet".'
        )
    channels = {name: input_shape[name].channels for name in onenet.IN_FEATURES}
    if len(set(channels.values())) != 1:
        raise ConfigError(
            f"MODEL.OneNet.IN_FEATURES: the {onenet.HEAD} head is shared over levels and needs the "
            f"same number of channels on each, got {channels}; use a backbone with FPN."
        )
    return {
        "in_channels": channels[onenet.IN_FEATURES[0]],
        "num_classes": onenet.NUM_CLASSES,
        "num_convs": onenet.NUM_CONV,
        "channels": onenet.CONV_CHANNELS,
        "centerness": onenet.CENTERNESS,
        "guided": onenet.ASSIGNER.NAME == GUIDED,
    }


def auxiliary(cfg: CfgNode, num_convs: int) -> dict[str, Any]:
    """In what the constructor arguments of the auxiliary head differ from these."""
    return {"num_convs": num_convs, "guided": cfg.MODEL.OneNet.AUX.ASSIGNER == GUIDED}


def level_strides(cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> list[int]:
    """Stride of each of ``MODEL.OneNet.IN_FEATURES`` in pixels.

    Raises:
        ConfigError: ``FEATURES_STRIDE`` lacks one, or disagrees with the backbone.
    """
    onenet = cfg.MODEL.OneNet
    features, strides = onenet.IN_FEATURES, list(onenet.FEATURES_STRIDE)
    if len(strides) < len(features):
        raise ConfigError(
            f"MODEL.OneNet.FEATURES_STRIDE has {len(strides)} entries for "
            f"{len(features)} IN_FEATURES; give one for each."
        )
    strides = strides[: len(features)]
    check_strides("MODEL.OneNet.FEATURES_STRIDE", strides, features, input_shape)
    return strides


def _check_towers(num_convs: int, channels: int, norm: str) -> None:
    choose("MODEL.OneNet.CONV_NORM", norm, NORMS)
    if num_convs < 1:
        raise ConfigError(f"MODEL.OneNet.NUM_CONV must be at least 1, got {num_convs}.")
    if norm == "GN" and channels % 32:
        raise ConfigError(
            "MODEL.OneNet.CONV_CHANNELS must be a multiple of 32 with CONV_NORM GN (32 groups), "
            f"got {channels}."
        )
