"""The photographs to validate on as they are, not cut: the dataset ``trees_whole_val``."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from ..made import datasets_root, ensure_made
from .build import PHOTOGRAPHS, annotate_photographs
from .package import package_data

NAME = "trees_whole_val"
NAMES = PHOTOGRAPHS["val"]


def whole_folder(root: str | os.PathLike | None = None) -> Path:
    """Folder of the dataset in that of all datasets, which is ``datasets_root()`` by default."""
    return Path(datasets_root() if root is None else root, NAME)


def whole_json_file(folder: Path) -> Path:
    """Its COCO annotations."""
    return folder / "annotations.json"


def ensure_whole(root: str | os.PathLike | None = None) -> Path:
    """Copy the photographs unless they are there; see :func:`~.build.ensure_trees`."""
    return ensure_made(whole_folder(root), f"{NAMES}\nversion 1\n", write_whole)


def write_whole(folder: Path) -> None:
    """Copy photographs and annotations into a new ``folder``."""
    data = package_data(name + suffix for name in NAMES for suffix in (".png", ".xml"))
    for name in NAMES:
        shutil.copyfile(data / f"{name}.png", folder / f"{name}.png")
    whole_json_file(folder).write_text(json.dumps(annotate_photographs(data, NAMES)))
