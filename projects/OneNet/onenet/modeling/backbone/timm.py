"""The networks of timm as backbones (``MODEL.BACKBONE.NAME: "build_timm_backbone"``)."""

from __future__ import annotations

import os
from typing import Any

import torch
from detectron2.config import configurable
from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY
from detectron2.modeling.backbone import Backbone
from detectron2.modeling.backbone.fpn import FPN
from torch import Tensor, nn

from ...errors import ConfigError, UserError, nearest
from .resnet import build_fpn

PROBE_SIZE = (64, 96)  # height, width in pixels: two multiples of 32, not what timm trains with
MAX_LISTED = 3


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
    ):
        """
        Args:
            name: as timm has it, with or without the tag of its weights.
            out_features: names of the features that are wanted, finest first.
            in_channels: of the images.
            weights: local file of timm's weights for this network (``.safetensors`` or what
                ``torch.save`` wrote); empty for random ones.

        Raises:
            UserError: timm is missing, has no such network or none with such features, or the
                weights are not there or are those of another.
        """
        super().__init__()
        _check_name(name)
        strides = _create(name, in_channels).feature_info.reduction()
        index = _select(name, strides, out_features)
        # Again, and only up to the last wanted feature.
        self.body = _create(name, in_channels, weights, out_indices=index)
        self._out_features = list(out_features)
        self._out_feature_strides = {f: 2 ** int(f[3:]) for f in out_features}
        channels = self.body.feature_info.channels()
        self._out_feature_channels = dict(zip(out_features, channels, strict=True))
        self._probe(name, in_channels)

    @classmethod
    def from_config(cls, cfg, input_shape: ShapeSpec):
        timm = cfg.MODEL.TIMM
        return {
            "name": timm.NAME,
            "out_features": timm.OUT_FEATURES,
            "in_channels": input_shape.channels,
            # Otherwise a trained detector would ask for the file that its training began with.
            "weights": "" if cfg.MODEL.WEIGHTS else timm.WEIGHTS,
        }

    @property
    def size_divisibility(self) -> int:
        return max(self._out_feature_strides.values())

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """(B, C, H, W) images -> features (B, C', H / stride, W / stride) by name."""
        return dict(zip(self._out_features, self.body(images), strict=True))

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
    """A network of timm. Reads ``MODEL.TIMM``: ``NAME``, ``OUT_FEATURES`` and ``WEIGHTS``."""
    return TimmBackbone(cfg, input_shape)


@BACKBONE_REGISTRY.register()
def build_timm_fpn_backbone(cfg, input_shape: ShapeSpec) -> FPN:
    """A feature pyramid p3 to p7 on :func:`build_timm_backbone`; reads ``MODEL.FPN`` too."""
    return build_fpn(cfg, build_timm_backbone(cfg, input_shape))


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


def _create(name: str, in_channels: int, weights: str = "", **options: Any) -> nn.Module:
    """The network; with a file of weights these go through timm's own adaptations."""
    import timm

    if weights:
        # Given a state dict, timm looks no further for weights.
        overlay = {"state_dict": _read(weights, name)}
        options |= {"pretrained": True, "pretrained_cfg_overlay": overlay}
    try:
        return timm.create_model(name, features_only=True, in_chans=in_channels, **options)
    except Exception as error:  # each network raises as it likes
        raise _unusable(name, str(error) or type(error).__name__) from None


def _select(name: str, strides: list[int], out_features: list[str]) -> list[int]:
    """The indices of the features among those that the network has."""
    names = [f"res{stride.bit_length() - 1}" for stride in strides]
    if len(set(names)) < len(names):
        raise _unusable(name, f"its features have the strides {strides}, not each another")
    for feature in out_features:
        if feature not in names:
            raise ConfigError(
                f'MODEL.TIMM.OUT_FEATURES: {name} has no feature "{feature}", only '
                f"{', '.join(names)}."
            )
    return [names.index(feature) for feature in out_features]


def _read(path: str, name: str) -> dict[str, Tensor]:
    """The weights of a file, all those of the network among them."""
    import timm

    if not os.path.isfile(path):
        raise UserError(
            f'MODEL.TIMM.WEIGHTS: there is no file "{path}"; it must be on this machine, nothing '
            'is downloaded ("" trains from scratch)'
        )
    weights = _load(path)
    missing = [key for key in timm.create_model(name).state_dict() if key not in weights]
    if missing:
        more = ", ..." if len(missing) > MAX_LISTED else ""
        raise UserError(
            f'MODEL.TIMM.WEIGHTS "{path}" is not for {name}: {len(missing)} of its weights are '
            f"not in it ({', '.join(missing[:MAX_LISTED])}{more})"
        )
    return weights


def _load(path: str) -> dict[str, Tensor]:
    from ...checkpoint.safe_load import load_torch_file  # which itself imports this package

    if not path.endswith(".safetensors"):
        content = load_torch_file(path)
        return content.get("state_dict", content)
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise UserError(f'cannot read the weights "{path}" ({error})') from None


def _unusable(name: str, reason: str) -> ConfigError:
    first_line = reason.strip().splitlines()[0]
    return ConfigError(f'MODEL.TIMM.NAME: "{name}" cannot be used here: {first_line}')
