"""What a config does to assignments before they are trained with."""

from __future__ import annotations

from collections.abc import Iterable
from inspect import signature

from detectron2.config import CfgNode
from torch import nn

from ..assignment import (
    OHEM,
    HardNegatives,
    IgnoreRegions,
    IoUBalancedSampling,
    IoUTargets,
    RandomSampling,
    Subsampler,
)
from ..errors import ConfigError, choose

# Beside what every assignment goes through.
CLASS_TARGETS = {"assigned": [], "iou": [IoUTargets]}
ALL_SAMPLES = "all"  # none of these
SUBSAMPLERS: dict[str, type[Subsampler]] = {
    "random": RandomSampling,
    "iou_balanced": IoUBalancedSampling,
    "hard_negatives": HardNegatives,
    "ohem": OHEM,
}


def build_subsamplers(cfg: CfgNode) -> list[nn.Module]:
    """What ``MODEL.OneNet`` does to assignments: samples leave, class targets change.

    Raises:
        ConfigError: there are no targets or no subsampler of that name, or it has no such key.
    """
    onenet = cfg.MODEL.OneNet
    targets = choose("MODEL.OneNet.CLASS_TARGET", onenet.CLASS_TARGET, CLASS_TARGETS)
    subsamplers = [IgnoreRegions(), *(make() for make in CLASS_TARGETS[targets])]
    names = ALL_SAMPLES, *SUBSAMPLERS
    name = choose("MODEL.OneNet.SUBSAMPLER.NAME", onenet.SUBSAMPLER.NAME, names)
    settings = {key: x for key, x in onenet.SUBSAMPLER.items() if key != "NAME" and x is not None}
    _check_settings(name, settings)
    if name != ALL_SAMPLES:
        settings = {key.lower(): value for key, value in settings.items()}
        subsamplers.append(SUBSAMPLERS[name](**settings))
    return subsamplers


def _check_settings(name: str, settings: Iterable[str]) -> None:
    for key in settings:
        takers = [n for n, make in SUBSAMPLERS.items() if key.lower() in signature(make).parameters]
        if name not in takers:
            raise ConfigError(
                f'MODEL.OneNet.SUBSAMPLER.{key} has no effect with SUBSAMPLER.NAME "{name}": leave '
                f"it None, or set NAME to one of {', '.join(takers)}."
            )
