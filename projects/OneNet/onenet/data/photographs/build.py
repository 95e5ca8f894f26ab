"""The photographs, cut into tiles: the datasets ``trees_{train,val}``."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ..coco.tile_dataset import Tiling, write_tiles
from ..made import datasets_root, ensure_made
from .package import package_data
from .voc import read_voc

NAME = "trees"
TREE = "tree"
VERSION = 1  # raise it where the tiles change and neither PHOTOGRAPHS nor TILING does
# The two long names are of Yellowstone, with their place in UTM metres: they share no ground.
PHOTOGRAPHS = {
    "train": ("2019_YELL_2_528000_4978000_image_crop2", "OSBS_029", "SOAP_061"),
    "val": ("2019_YELL_2_541000_4977000_image_crop",),
}
TILING = Tiling(size=400, overlap=0, min_share=0.4)


def trees_folder(root: str | os.PathLike | None = None) -> Path:
    """Folder of the trees in that of all datasets, which is ``datasets_root()`` by default."""
    return Path(datasets_root() if root is None else root, NAME)


def json_file(folder: Path, split: str) -> Path:
    """COCO annotations of a split."""
    return folder / "annotations" / f"{NAME}_{split}.json"


def image_root(folder: Path, split: str) -> Path:
    """Tiles of a split."""
    return folder / split


def ensure_trees(root: str | os.PathLike | None = None) -> Path:
    """Make the datasets unless they are there up to date.

    Args:
        root: folder of all datasets; ``datasets_root()`` by default.

    Returns:
        The folder of the datasets.

    Raises:
        UserError: the package with the photographs is missing, ``root`` cannot be written, or the
            folder holds data of somebody else.
    """
    return ensure_made(
        trees_folder(root), f"{PHOTOGRAPHS}\n{TILING}\nversion {VERSION}\n", write_trees
    )


def write_trees(folder: Path) -> None:
    """Cut the photographs of all splits into a new ``folder``."""
    data = package_data(
        name + suffix
        for names in PHOTOGRAPHS.values()
        for name in names
        for suffix in (".png", ".xml")
    )
    for split, names in PHOTOGRAPHS.items():
        photographs = annotate_photographs(data, names)
        images, annotations = image_root(folder, split), json_file(folder, split)
        tiles = write_tiles(photographs, data, images, TILING, f"{NAME}_{split}")
        annotations.parent.mkdir(exist_ok=True)
        annotations.write_text(json.dumps(tiles))


def annotate_photographs(data: Path, names: tuple[str, ...]) -> dict[str, Any]:
    """COCO annotations of whole photographs.

    Args:
        data: folder of the photographs and their annotations.
        names: of the photographs, without suffix.

    Raises:
        UserError: an annotation cannot be read.
    """
    coco = {"images": [], "annotations": [], "categories": [{"id": 1, "name": TREE}]}
    for image_id, name in enumerate(names, start=1):
        voc = read_voc(data / f"{name}.xml")
        size = {"width": voc.width, "height": voc.height}
        coco["images"].append({"id": image_id, "file_name": f"{name}.png", **size})
        for x1, y1, x2, y2 in voc.boxes:
            coco["annotations"].append(
                {
                    "id": len(coco["annotations"]) + 1,
                    "image_id": image_id,
                    "category_id": 1,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                }
            )
    return coco
