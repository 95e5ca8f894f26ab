"""Register the digits datasets with Detectron2; they are made when somebody first reads them."""

from __future__ import annotations

import os
from functools import partial

from .catalog import register_unless_taken
from .coco.records import load_coco_boxes
from .digits.build import SPECS, DigitsSpec, ensure_digits
from .digits.glyphs import CLASS_NAMES
from .made import datasets_root


def register_digits(root: str | os.PathLike | None = None) -> None:
    """Put ``digits_{train,val}`` and ``digits_crowd_{train,val}`` into the catalogs.

    A name that is taken already stays what it is.

    Args:
        root: folder of all datasets; ``datasets_root()`` by default, read now as Detectron2 does.
    """
    root = os.fspath(datasets_root() if root is None else root)
    for spec in SPECS:
        for split in spec.scenes:
            name = f"{spec.name}_{split}"
            folder = spec.folder(root)
            register_unless_taken(
                name,
                partial(load_digits_scenes, root, spec, split),
                json_file=str(spec.json_file(folder, split)),
                image_root=str(spec.image_root(folder, split)),
                prepare=partial(ensure_digits, root, spec),  # for those who read json_file directly
                evaluator_type="coco",
                thing_classes=list(CLASS_NAMES),
                thing_dataset_id_to_contiguous_id={i + 1: i for i in range(len(CLASS_NAMES))},
            )


def load_digits_scenes(root: str, spec: DigitsSpec, split: str) -> list[dict]:
    """Make the dataset if needed and read one split of it as Detectron2 dataset dicts."""
    folder = ensure_digits(root, spec)
    return load_coco_boxes(
        str(spec.json_file(folder, split)),
        str(spec.image_root(folder, split)),
        f"{spec.name}_{split}",
    )
