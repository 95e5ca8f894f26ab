"""The networks of timm as backbones (``MODEL.BACKBONE.NAME: "build_timm_backbone"``)."""

from __future__ import annotations

from typing import Any

import torch
from detectron2.config import configurable
from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY
from detectron2.modeling.backbone import Backbone
from detectron2.modeling.backbone.fpn import FPN
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ...errors import ConfigError, UserError, nearest
from .resnet import build_fpn
from .timm_weights import check_images, read_weights

PROBE_SIZE = (64, 96)  # height, width in pixels: two multiples of 32, not what timm trains with


class TimmBackbone(Backbone):
    """A network of timm with ``features_only``; the feature of stride 2^n is called ``res<n>``.

    So it has the feature names of a ResNet, and what stands in a config for one fits the other.
    Nothing is ever downloaded.
    """

    @configurable
    def __init__(
        self,
        *,
        name: str,
        out_features: list[str],
        in_channels: int = 3,
        weights: str = "",
        freeze_at: int = 0,
        freeze_bn: bool = False,
    ):
        """
        Args:
            name: as timm has it, with or without the tag of its weights.
            out_features: names of the features that are wanted, finest first.
            in_channels: of the images.
            weights: of this network, as :func:`.timm_weights.read_weights` takes them; empty for
                random ones.
            freeze_at: n from 1 on: nothing that leads to ``res<n>`` is trained, and norms there
                are as in inference; 0: all is trained.
            freeze_bn: the same for all batch norms.

        Raises:
            UserError: timm is missing, has no such network or none with such features, the
                weights are not there or are those of another, or there is nothing to freeze.
        """
        super().__init__()
        self._frozen: list[nn.Module] = []
        _check_name(name)
        whole = _create(name, in_channels)
        index = _select("MODEL.TIMM.OUT_FEATURES", name, whole, out_features)
        # Again, and only up to the last wanted feature.
        self.body = _create(name, in_channels, weights, out_indices=index)
        self._out_features = list(out_features)
        self._out_feature_strides = {f: 2 ** int(f[3:]) for f in out_features}
        channels = self.body.feature_info.channels()
        self._out_feature_channels = dict(zip(out_features, channels, strict=True))
        self._probe(name, in_channels)
        if freeze_at:
            (last,) = _select("MODEL.BACKBONE.FREEZE_AT", name, whole, [f"res{freeze_at}"])
            self._freeze(_leading_to(whole, last, in_channels))
        if freeze_bn:
            self._freeze(_batch_norms(name, self.body))

    @classmethod
    def from_config(cls, cfg, input_shape: ShapeSpec):
        timm = cfg.MODEL.TIMM
        return {
            "name": timm.NAME,
            "out_features": timm.OUT_FEATURES,
            "in_channels": input_shape.channels,
            "weights": timm.WEIGHTS if _begins_with_weights(cfg) else "",
            # What is random has to be trained.
            "freeze_at": cfg.MODEL.BACKBONE.FREEZE_AT if timm.WEIGHTS else 0,
            "freeze_bn": timm.FREEZE_BN,
        }

    @property
    def size_divisibility(self) -> int:
        return max(self._out_feature_strides.values())

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """(B, C, H, W) images -> features (B, C', H / stride, W / stride) by name."""
        return dict(zip(self._out_features, self.body(images), strict=True))

    def train(self, mode: bool = True) -> TimmBackbone:
        super().train(mode)
        for module in self._frozen:
            module.eval()
        return self

    def _freeze(self, names: set[str]) -> None:
        """Freeze the modules of these names, as far as they are still there, without children."""
        found = [module for name, module in self.body.named_modules() if name in names]
        for module in found:
            module.eval()
            for parameter in module.parameters(recurse=False):
                parameter.requires_grad_(False)
        self._frozen += found

    @torch.no_grad()
    def _probe(self, name: str, in_channels: int) -> None:
        """Run it once on a small image: some take those of one size only."""
        training, device = self.body.training, next(self.body.parameters()).device
        images = torch.zeros(1, in_channels, *PROBE_SIZE, device=device)
        try:
            features = self.eval()(images)
        except Exception as error:  # of any network, by an assertion or in any operator
            raise _unusable(name, f"it takes no images of any size: {error}") from None
        finally:
            self.train(training)
        for key, shape in self.output_shape().items():
            wanted = (1, shape.channels, *(side // shape.stride for side in PROBE_SIZE))
            if features[key].shape != wanted:
                raise _unusable(name, f"its {key} has the shape {tuple(features[key].shape)}")


@BACKBONE_REGISTRY.register()
def build_timm_backbone(cfg, input_shape: ShapeSpec) -> TimmBackbone:
    """A network of timm.

    Reads ``MODEL.TIMM``, and with ``MODEL.TIMM.WEIGHTS`` also ``MODEL.BACKBONE.FREEZE_AT``.

    Raises:
        UserError: see :class:`TimmBackbone`, :func:`.timm_weights.check_images`.
    """
    backbone = TimmBackbone(cfg, input_shape)
    if _begins_with_weights(cfg):
        check_images(cfg)
    return backbone


@BACKBONE_REGISTRY.register()
def build_timm_fpn_backbone(cfg, input_shape: ShapeSpec) -> FPN:
    """A feature pyramid p3 to p7 on :func:`build_timm_backbone`; reads ``MODEL.FPN`` too."""
    return build_fpn(cfg, build_timm_backbone(cfg, input_shape))


def build_timm_classifier(cfg) -> nn.Module:
    """The whole network whose weights ``MODEL.TIMM.WEIGHTS`` names: images -> logits of classes.

    Raises:
        UserError: see :func:`build_timm_backbone`; or no weights are named.
    """
    name, weights = cfg.MODEL.TIMM.NAME, cfg.MODEL.TIMM.WEIGHTS
    _check_name(name)
    if not weights:
        raise ConfigError('MODEL.TIMM.WEIGHTS "": random weights classify nothing; name a file')
    classifier = _create(name, len(cfg.MODEL.PIXEL_MEAN), weights, features_only=False)
    check_images(cfg)
    return classifier


def _begins_with_weights(cfg) -> bool:
    """Whether timm's weights are read: a trained detector must not ask for them again."""
    return bool(cfg.MODEL.TIMM.WEIGHTS and not cfg.MODEL.WEIGHTS)


def _check_name(name: str) -> None:
    try:
        import timm
    except ImportError as error:
        raise UserError(
            f"MODEL.BACKBONE.NAME: the backbones of timm need timm ({error}): pip install timm"
        ) from None
    if not timm.is_model(name):  # nor are prefixes such as hf-hub:, which would be downloaded
        raise ConfigError(
            f'MODEL.TIMM.NAME: timm {timm.__version__} has no network "{name}".'
            f"{nearest(name, timm.list_models())}"
        )


def _create(
    name: str, in_channels: int, weights: str = "", features_only: bool = True, **options: Any
) -> nn.Module:
    """The network; weights go through timm's own adaptations."""
    import timm

    if weights:
        # Given a state dict, timm looks no further for weights.
        overlay = {"state_dict": read_weights(weights, name)}
        options |= {"pretrained": True, "pretrained_cfg_overlay": overlay}
    try:
        return timm.create_model(name, features_only=features_only, in_chans=in_channels, **options)
    except Exception as error:  # each network raises as it likes
        raise _unusable(name, str(error) or type(error).__name__) from None


def _select(key: str, name: str, network: nn.Module, features: list[str]) -> list[int]:
    """The indices of the features among those that the network has; ``key`` asks for them."""
    strides = network.feature_info.reduction()
    names = [f"res{stride.bit_length() - 1}" for stride in strides]
    if len(set(names)) < len(names):
        raise _unusable(name, f"its features have the strides {strides}, not each another")
    for feature in features:
        if feature not in names:
            raise ConfigError(f'{key}: {name} has no feature "{feature}", only {", ".join(names)}.')
    return [names.index(feature) for feature in features]


@torch.enable_grad()
def _leading_to(network: nn.Module, index: int, in_channels: int) -> set[str]:
    """Names of the modules whose parameters reach a feature: where its gradient arrives."""
    parameters = dict(network.named_parameters())
    images = torch.zeros(1, in_channels, *PROBE_SIZE, device=next(network.parameters()).device)
    feature = network.eval()(images)[index]
    gradients = torch.autograd.grad(feature.sum(), list(parameters.values()), allow_unused=True)
    reached = (name for name, grad in zip(parameters, gradients, strict=True) if grad is not None)
    return {name.rpartition(".")[0] for name in reached}


def _batch_norms(name: str, network: nn.Module) -> set[str]:
    found = {one for one, module in network.named_modules() if isinstance(module, _BatchNorm)}
    if not found:
        raise ConfigError(f"MODEL.TIMM.FREEZE_BN True: {name} has no batch norm; set it to False")
    return found


def _unusable(name: str, reason: str) -> ConfigError:
    first_line = reason.strip().splitlines()[0]
    return ConfigError(f'MODEL.TIMM.NAME: "{name}" cannot be used here: {first_line}')
