"""Register the trees with Detectron2; they are made when somebody first reads them."""

from __future__ import annotations

import os
from functools import partial

from ..catalog import register_unless_taken
from ..coco.records import load_coco_boxes
from .build import NAME, PHOTOGRAPHS, TREE, ensure_trees, image_root, json_file, trees_folder
from .whole import NAME as WHOLE
from .whole import ensure_whole, whole_folder, whole_json_file

METADATA = {
    "evaluator_type": "coco",
    "thing_classes": [TREE],
    "thing_dataset_id_to_contiguous_id": {1: 0},
}


def register_trees(root: str | os.PathLike | None = None) -> None:
    """Put ``trees_{train,val}`` and ``trees_whole_val`` into the catalogs.

    A name that is taken stays what it is.

    Args:
        root: folder of all datasets; ``datasets_root()`` by default, read now as Detectron2 does.
    """
    folder = trees_folder(root)
    for split in PHOTOGRAPHS:
        register_unless_taken(
            f"{NAME}_{split}",
            partial(load_trees, folder.parent, split),
            json_file=str(json_file(folder, split)),
            image_root=str(image_root(folder, split)),
            prepare=partial(ensure_trees, folder.parent),  # for those who read json_file directly
            **METADATA,
        )
    whole = whole_folder(folder.parent)
    register_unless_taken(
        WHOLE,
        partial(load_whole, folder.parent),
        json_file=str(whole_json_file(whole)),
        image_root=str(whole),
        prepare=partial(ensure_whole, folder.parent),
        **METADATA,
    )


def load_trees(root: str | os.PathLike, split: str) -> list[dict]:
    """Make the datasets if needed and read one split as Detectron2 dataset dicts."""
    folder = ensure_trees(root)
    return load_coco_boxes(
        str(json_file(folder, split)), str(image_root(folder, split)), f"{NAME}_{split}"
    )


def load_whole(root: str | os.PathLike) -> list[dict]:
    """Make the dataset of whole photographs if needed and read it as Detectron2 dataset dicts."""
    folder = ensure_whole(root)
    return load_coco_boxes(str(whole_json_file(folder)), str(folder), WHOLE)
