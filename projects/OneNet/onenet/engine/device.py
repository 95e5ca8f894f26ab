"""Which device a run gets: what ``MODEL.DEVICE`` says, if this machine has it."""

from __future__ import annotations

import logging
import re

import torch
from detectron2.config import CfgNode
from detectron2.utils.logger import log_first_n

from ..errors import ConfigError

_GPU = re.compile(r"cuda(:\d+)?")


def choose_device(cfg: CfgNode) -> None:
    """Let ``cfg`` run on the CPU where it asks for a GPU and there is none at all.

    Raises:
        ConfigError: ``MODEL.DEVICE`` is anything else that is not on this machine.
    """
    device, there = cfg.MODEL.DEVICE, available_devices()
    if _GPU.fullmatch(device) and not torch.cuda.is_available():
        _warn_once(f'No GPU is available for MODEL.DEVICE "{device}": running on the CPU.')
        cfg.MODEL.DEVICE = "cpu"
    elif device not in there:
        raise ConfigError(
            f'MODEL.DEVICE "{device}" is not on this machine, which has: {", ".join(there)}.'
        )
    if cfg.MODEL.DEVICE == "cpu" and cfg.SOLVER.AMP.ENABLED:
        _warn_once("SOLVER.AMP.ENABLED needs a GPU: training in float32.")
        cfg.SOLVER.AMP.ENABLED = False


def available_devices() -> list[str]:
    """What ``MODEL.DEVICE`` may be here: "cpu", and "cuda", "cuda:0" or what else there is."""
    if not torch.accelerator.is_available():
        return ["cpu"]
    kind = torch.accelerator.current_accelerator().type
    numbered = [f"{kind}:{index}" for index in range(torch.accelerator.device_count())]
    return ["cpu", kind, *numbered]


def _warn_once(message: str) -> None:
    """Warn once in a process, also where a program reads many configs."""
    log_first_n(logging.WARNING, message, name=__name__, key="message")
