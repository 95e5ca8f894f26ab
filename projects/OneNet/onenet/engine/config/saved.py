"""Whether a folder holds the run that is asked for, or another one."""

from __future__ import annotations

import os
from itertools import count
from pathlib import Path
from typing import Any

import yaml
from detectron2.config import CfgNode

from .files import flatten

FILE_NAME = "config.yaml"
DEVICE, AMP = "MODEL.DEVICE", "SOLVER.AMP.ENABLED"
IRRELEVANT = ("OUTPUT_DIR", DEVICE)  # where a run was made does not make it another
_ABSENT = "absent"


def config_differences(cfg: CfgNode, output_dir: str | os.PathLike) -> list[str]:
    """Compare a config with that of the run in a folder.

    Args:
        cfg: what is asked for.
        output_dir: of a run; it may be missing or empty, which is no difference.

    Returns:
        One description for each key that differs: its name, the value there and the wanted one.
    """
    try:
        there, wanted = _both(cfg, output_dir)
    except FileNotFoundError:
        return []
    except ValueError as error:
        return [str(error)]
    return [
        f"{key}: {there.get(key, _ABSENT)!r} there, {wanted.get(key, _ABSENT)!r} wanted"
        for key in sorted(there.keys() | wanted.keys())
        if there.get(key, _ABSENT) != wanted.get(key, _ABSENT)
    ]


def changed_values(cfg: CfgNode, output_dir: str | os.PathLike) -> dict[str, tuple[Any, Any]]:
    """The keys that both a config and the run in a folder have: (value there, value wanted).

    Only those with different values. A folder without a config that can be read has none.
    """
    try:
        there, wanted = _both(cfg, output_dir)
    except (FileNotFoundError, ValueError):
        return {}
    both = sorted(there.keys() & wanted.keys())
    return {key: (there[key], wanted[key]) for key in both if there[key] != wanted[key]}


def _both(cfg: CfgNode, output_dir: str | os.PathLike) -> tuple[dict[str, Any], dict[str, Any]]:
    """The values there and the wanted ones by key; what makes it no other run is the same in both.

    Raises:
        FileNotFoundError: there is no config.
        ValueError: there is one that cannot be read.
    """
    file = Path(output_dir, FILE_NAME)
    try:
        there = dict(flatten(yaml.safe_load(file.read_text(encoding="utf-8"))))
    except (yaml.YAMLError, UnicodeDecodeError, AttributeError):
        raise ValueError(f"{file} cannot be read") from None
    wanted = dict(flatten(yaml.safe_load(cfg.dump())))
    same_device = there.get(DEVICE) == wanted[DEVICE]
    for key in IRRELEVANT if same_device else (*IRRELEVANT, AMP):  # which is off on a CPU
        there[key] = wanted[key]
    if Path(there.get("MODEL.WEIGHTS", "")).parent == Path(output_dir):
        there["MODEL.WEIGHTS"] = wanted["MODEL.WEIGHTS"]  # the run itself was evaluated since
    return there, wanted


def set_aside(output_dir: str | os.PathLike) -> Path:
    """Rename a folder, so that its name is free again and nothing in it is lost.

    Returns:
        Its new name: the old one with the first free number.
    """
    folder = Path(output_dir)
    names = (folder.with_name(f"{folder.name}.{number}") for number in count(1))
    return folder.rename(next(name for name in names if not name.exists()))
