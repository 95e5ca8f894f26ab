"""Whether a folder holds the run that is asked for, or another one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import yaml
from detectron2.config import CfgNode

FILE_NAME = "config.yaml"
IRRELEVANT = ("OUTPUT_DIR", "MODEL.DEVICE")  # where a run was made does not make it another
_ABSENT = "absent"


def config_differences(cfg: CfgNode, output_dir: str | os.PathLike) -> list[str]:
    """Compare a config with that of the run in a folder.

    Args:
        cfg: what is asked for.
        output_dir: of a run; it may be missing or empty, which is no difference.

    Returns:
        One description for each key that differs: its name, the value there and the wanted one.
    """
    file = Path(output_dir, FILE_NAME)
    if not file.exists():
        return []
    try:
        there = dict(_flatten(yaml.safe_load(file.read_text(encoding="utf-8"))))
    except (yaml.YAMLError, UnicodeDecodeError, AttributeError):
        return [f"{file} cannot be read"]
    wanted = dict(_flatten(yaml.safe_load(cfg.dump())))
    for key in IRRELEVANT:
        there[key] = wanted[key]
    if Path(there.get("MODEL.WEIGHTS", "")).parent == Path(output_dir):
        there["MODEL.WEIGHTS"] = wanted["MODEL.WEIGHTS"]  # the run itself was evaluated since
    return [
        f"{key}: {there.get(key, _ABSENT)!r} there, {wanted.get(key, _ABSENT)!r} wanted"
        for key in sorted(there.keys() | wanted.keys())
        if there.get(key, _ABSENT) != wanted.get(key, _ABSENT)
    ]


def set_aside(output_dir: str | os.PathLike) -> Path:
    """Rename a folder, so that its name is free again and nothing in it is lost.

    Returns:
        Its new name: the old one with the first free number.
    """
    folder = Path(output_dir)
    names = (folder.with_name(f"{folder.name}.{number}") for number in count(1))
    return folder.rename(next(name for name in names if not name.exists()))


def _flatten(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
