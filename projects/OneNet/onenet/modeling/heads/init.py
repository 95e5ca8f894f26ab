"""How heads start: as published, or close to their prior boxes."""

from __future__ import annotations

import math
from collections.abc import Iterable

import fvcore.nn.weight_init as weight_init
from torch import nn

from ...errors import choose

INITS = ("prior", "published")
# Of the output convolutions; small enough that at first their biases decide.
OUTPUT_STD = 0.01


def check_init(init: str) -> None:
    """Raise a ConfigError unless ``init`` is one of ``INITS``."""
    choose("MODEL.OneNet.HEAD_INIT", init, INITS)


def published_init(head: nn.Module) -> None:
    """Xavier-uniform for everything with more than one dimension.

    That is what the official constructors end with; it overwrites what the layers had just set
    (bilinear kernels, zero offsets). Biases keep the layers' defaults.
    """
    for parameter in head.parameters():
        if parameter.dim() > 1:
            nn.init.xavier_uniform_(parameter)


def prior_init(hidden: Iterable[nn.Module | None], outputs: Iterable[nn.Module | None]) -> None:
    """Activations of constant scale, near-constant outputs; absent (None) branches are skipped.

    Args:
        hidden: modules whose convolutions are followed by a ReLU.
        outputs: the output convolutions; their biases are set to 0.
    """
    for module in hidden:
        for layer in module.modules() if module is not None else ():
            if isinstance(layer, nn.Conv2d):
                weight_init.c2_msra_fill(layer)
    for conv in outputs:
        if conv is not None:
            nn.init.normal_(conv.weight, std=OUTPUT_STD)
            nn.init.zeros_(conv.bias)


def init_scores(conv: nn.Conv2d, prior_prob: float) -> None:
    """Make ``prior_prob`` the initial score of every sample and class, whatever the init.

    Source: RetinaNet (Lin et al., ICCV 2017), section 4.1.
    """
    nn.init.constant_(conv.bias, -math.log((1 - prior_prob) / prior_prob))
