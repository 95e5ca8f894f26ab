"""What ``MODEL.TIMM.WEIGHTS`` names: reading it for a network of timm, and the images it wants."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable

from detectron2.config import CfgNode
from torch import Tensor

from ...errors import ConfigError, UserError
from .packaged import KEY, PACKAGES, PREFIX, locate_packaged

logger = logging.getLogger(__name__)

MAX_LISTED = 3
TOLERANCE = 1.0  # of a mean or deviation, in grey levels: less than the noise of a photograph
_FOREIGN = "_conv_stem.weight"  # in every EfficientNet under the names of efficientnet-pytorch


def read_weights(source: str, name: str) -> dict[str, Tensor]:
    """The weights of a classification network, all of them, under timm's names.

    Args:
        source: a local file (``.safetensors`` or what ``torch.save`` wrote), or one of
            ``PACKAGES``. An EfficientNet may have the names of efficientnet-pytorch.
        name: of the network, as timm has it.

    Raises:
        UserError: they are not there, cannot be read, or are those of another network.
    """
    import timm

    weights = _load(_locate(source, name))
    expected = timm.create_model(name).state_dict()
    if _FOREIGN in weights:
        weights = _rename(weights, expected)
    missing = [key for key in expected if key not in weights]
    if missing:
        more = ", ..." if len(missing) > MAX_LISTED else ""
        raise UserError(
            f'{KEY} "{source}" is not for {name}: {len(missing)} of its weights are '
            f"not in it ({', '.join(missing[:MAX_LISTED])}{more})"
        )
    return weights


def _locate(source: str, name: str) -> str:
    if source.startswith(PREFIX):
        path, network = locate_packaged(source), PACKAGES[source].network
        if name.split(".")[0] != network:
            raise ConfigError(
                f'{KEY} "{source}" is of another network than MODEL.TIMM.NAME "{name}": set the '
                f'latter to "{network}"'
            )
        return path
    if not os.path.isfile(source):
        raise UserError(
            f'{KEY}: there is no file "{source}"; it must be on this machine, nothing '
            f'is downloaded ("" trains from scratch, "{next(iter(PACKAGES))}" is in a package)'
        )
    return source


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


def _rename(weights: dict[str, Tensor], expected: dict[str, Tensor]) -> dict[str, Tensor]:
    """Give weights that come in the order of ``expected`` its names, or leave them as they are."""
    pairs = list(zip(expected.items(), weights.items(), strict=False))
    same = len(expected) == len(weights) and all(
        _kind(name) == _kind(foreign) and value.shape == foreign_value.shape
        for (name, value), (foreign, foreign_value) in pairs
    )
    return {name: value for (name, _), (_, value) in pairs} if same else weights


def _kind(name: str) -> str:
    """Such as ``running_mean``, which tells apart what has the same shape in a batch norm."""
    return name.rpartition(".")[2]


def check_images(cfg: CfgNode) -> None:
    """Compare the images that a config makes with those that its timm weights were trained on.

    Of weights in a package these are known. Those in a file may have been trained by anybody; of
    them there is only a warning, where they differ from what timm knows of the network.

    Raises:
        ConfigError: ``INPUT.FORMAT``, ``MODEL.PIXEL_MEAN`` or ``MODEL.PIXEL_STD`` are not those of
            the weights in a package.
    """
    import timm

    source = cfg.MODEL.TIMM.WEIGHTS
    if source.startswith(PREFIX):
        known = PACKAGES[source]
        differences = _differences(cfg, known.mean, known.std)
        if differences:
            raise ConfigError(f'{KEY} "{source}" wants other images: {differences}')
        return
    known = timm.get_pretrained_cfg(cfg.MODEL.TIMM.NAME)
    differences = _differences(cfg, *([255 * x for x in of] for of in (known.mean, known.std)))
    if differences:
        logger.warning(
            '%s "%s": timm knows %s with other images: %s.',
            KEY, source, cfg.MODEL.TIMM.NAME, differences,
        )  # fmt: skip


def _differences(cfg: CfgNode, mean: Iterable[float], std: Iterable[float]) -> str:
    """What to change in ``cfg`` for RGB images of this mean and deviation; empty: nothing."""
    found = []
    if cfg.INPUT.FORMAT != "RGB":
        found.append(f"INPUT.FORMAT is {cfg.INPUT.FORMAT}, set it to RGB")
    for key, wanted in (("PIXEL_MEAN", list(mean)), ("PIXEL_STD", list(std))):
        value = list(cfg.MODEL[key])
        if len(value) != len(wanted) or any(
            abs(a - b) > TOLERANCE for a, b in zip(value, wanted, strict=True)
        ):
            wanted = [round(x, 3) for x in wanted]
            found.append(f"MODEL.{key} is {value}, set it to {wanted}")
    return "; ".join(found)
