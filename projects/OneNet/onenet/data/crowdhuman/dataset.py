"""Where CrowdHuman is, a dataset of crowds (Shao et al., arXiv 1805.00123, 2018).

The files lie as in the official OneNet: ``annotation_{train,val}.odgt``, ``CrowdHuman_{train,val}``
with the images, and ``annotations/{train,val}.json``, made of both by tools/convert_crowdhuman.py.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from ..catalog import register_unless_taken
from ..coco.records import load_coco_boxes
from ..made import datasets_root
from .odgt import PERSON

SPLITS = ("train", "val")
# The second is what the official configs say.
NAMES = ("crowdhuman_{split}", "CrowdHuman_{split}")
REMEDY = (
    'put annotation_{split}.odgt and the images into "{folder}" as docs/crowdhuman.md has it, and '
    "run: python tools/convert_crowdhuman.py"
)


def crowdhuman_folder(root: str | os.PathLike | None = None) -> Path:
    """Folder of CrowdHuman in that of all datasets, which is ``datasets_root()`` by default."""
    return Path(datasets_root() if root is None else root, "crowdhuman")


def odgt_file(folder: Path, split: str) -> Path:
    """Annotations of a split as they are downloaded."""
    return folder / f"annotation_{split}.odgt"


def image_root(folder: Path, split: str) -> Path:
    """Images of a split."""
    return folder / f"CrowdHuman_{split}"


def json_file(folder: Path, split: str) -> Path:
    """COCO annotations of a split."""
    return folder / "annotations" / f"{split}.json"


def register_crowdhuman(root: str | os.PathLike | None = None) -> None:
    """Put ``crowdhuman_{train,val}``, and the official spelling of these, into the catalogs.

    A name that is taken already stays what it is.
    """
    folder = crowdhuman_folder(root)
    for split in SPLITS:
        annotations, images = str(json_file(folder, split)), str(image_root(folder, split))
        for pattern in NAMES:
            name = pattern.format(split=split)
            register_unless_taken(
                name,
                partial(load_coco_boxes, annotations, images, name),
                json_file=annotations,
                image_root=images,
                evaluator_type="crowdhuman",
                thing_classes=[PERSON],
                thing_dataset_id_to_contiguous_id={1: 0},
                remedy=REMEDY.format(split=split, folder=folder),
            )
