"""Where the weights are that ``MODEL.WEIGHTS`` names."""

from __future__ import annotations

import os
import re
from urllib.parse import urlparse

from detectron2.utils.file_io import PathManager

from ..errors import UserError, nearest

_DETECTRON2_PREFIX = "detectron2://"
_DETECTRON2_URL_PATH = "detectron2/"
_SUFFIXES = (".pth", ".pkl")
_CONVERTED = re.compile(r"torchvision-R-(\d+)\.pkl")  # as the recipes call ImageNet weights
_CACHE = "~/.torch/iopath_cache"  # of iopath, unless $FVCORE_CACHE is set
_IMAGENET = "ImageNetPretrained"  # in the URLs of Detectron2's backbones


def locate_weights(path: str) -> str:
    """Make sure that a file of weights is there; download it where it is a URL.

    Args:
        path: ``MODEL.WEIGHTS``: a file, a URL, ``detectron2://...``, or empty for none.

    Returns:
        ``path`` as it was; Detectron2 finds the local copy of a URL by itself.

    Raises:
        UserError: it is not there, or cannot be downloaded.
    """
    if "://" in path:
        _download(path)
    elif path and not os.path.isfile(path):
        raise UserError(
            f'there is no file of weights "{path}".{_advice(path)} (MODEL.WEIGHTS "" trains from '
            "scratch.)"
        )
    return path


def _advice(path: str) -> str:
    """How to get a file that the recipes name, or what else is in its folder."""
    folder, name = os.path.split(path)
    converted = _CONVERTED.fullmatch(name)
    if converted:
        source = f"ResNet{converted[1]}_Weights.IMAGENET1K_V1"
        return f" Make it with: tools/convert-torchvision {source} {path}"
    there = os.listdir(folder or ".") if os.path.isdir(folder or ".") else []
    weights = [file for file in there if file.endswith(_SUFFIXES)]
    return nearest(name, weights) if weights else ""


def check_named_detector(path: str) -> None:
    """Refuse what is no trained detector by its name already, before it is downloaded.

    Args:
        path: ``MODEL.WEIGHTS``.

    Raises:
        UserError: it is empty, or the URL of a classification network.
    """
    if not path or _IMAGENET in path:
        raise no_detector(path)


def no_detector(path: str) -> UserError:
    """The error where weights of a whole detector are needed, and ``path`` holds none."""
    return UserError(
        f'MODEL.WEIGHTS "{path}" is no trained detector, at most a backbone; end the command with '
        "MODEL.WEIGHTS model.pth"
    )


def same_file(path: str, other: str | None) -> bool:
    """Whether two values such as ``MODEL.WEIGHTS`` mean the same file or URL."""
    if not path or not other:
        return False
    return path == other or os.path.realpath(path) == os.path.realpath(other)


def _download(url: str) -> None:
    try:
        PathManager.get_local_path(url)
    except Exception as error:  # no network, no such file, no room, no handler
        raise UserError(
            f'the weights "{url}" are not on this machine and cannot be downloaded '
            f'({error}); put them at "{_cached(url)}", name a local file as MODEL.WEIGHTS, '
            'or train from scratch with MODEL.WEIGHTS ""'
        ) from None


def _cached(url: str) -> str:
    """Where iopath looks for the file before it downloads it."""
    if url.startswith(_DETECTRON2_PREFIX):
        path = _DETECTRON2_URL_PATH + url[len(_DETECTRON2_PREFIX) :]
    else:
        path = urlparse(url).path.lstrip("/")
    return os.path.join(os.path.expanduser(os.getenv("FVCORE_CACHE", _CACHE)), path)
