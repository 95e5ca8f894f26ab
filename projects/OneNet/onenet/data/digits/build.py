"""Write the digit scenes as COCO datasets."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from ..made import datasets_root, ensure_made
from .glyphs import CLASS_NAMES, load_pool
from .scenes import CROWD, DIGITS, Digit, SceneStyle, compose_scene

VERSION = 1  # of what the generator draws; a test has the content of each version
FIRST_SEED = {"train": 0, "val": 1_000_000}  # scene i of a split is drawn from seed + i


@dataclass(frozen=True)
class DigitsSpec:
    """One family of datasets.

    Attributes:
        name: of its folder, and prefix of its datasets' names.
        style: what its scenes look like.
        scenes: number of scenes of each split.
    """

    name: str
    style: SceneStyle
    scenes: dict[str, int]

    def folder(self, root: str | os.PathLike) -> Path:
        """Folder of the dataset in the folder of all datasets."""
        return Path(root, self.name)

    def json_file(self, folder: Path, split: str) -> Path:
        """COCO annotations of a split in the dataset's folder."""
        return folder / "annotations" / f"{self.name}_{split}.json"

    def image_root(self, folder: Path, split: str) -> Path:
        """Images of a split in the dataset's folder."""
        return folder / split


SPECS = (
    DigitsSpec("digits", DIGITS, {"train": 1000, "val": 200}),
    DigitsSpec("digits_crowd", CROWD, {"train": 500, "val": 100}),
)


def fingerprint(spec: DigitsSpec) -> str:
    """Changes with :data:`VERSION` and with ``spec``; stored beside the data."""
    return f"{spec!r}\nversion {VERSION}\n"


def ensure_digits(root: str | os.PathLike | None = None, spec: DigitsSpec = SPECS[0]) -> Path:
    """Make a digits dataset unless an up-to-date one is there; see :func:`ensure_made`.

    Args:
        root: folder of all datasets; ``datasets_root()`` by default.
        spec: which family of scenes.

    Returns:
        The folder of the dataset.

    Raises:
        UserError: ``root`` cannot be written, or the folder holds data of somebody else.
    """
    target = spec.folder(datasets_root() if root is None else root)
    return ensure_made(target, fingerprint(spec), lambda new: write_digits(new, spec))


def write_digits(folder: Path, spec: DigitsSpec) -> None:
    """Draw every scene of ``spec`` into a new ``folder``: images and COCO annotations."""
    with tqdm(
        total=sum(spec.scenes.values()), desc=f"making {spec.name}", unit="scene", mininterval=0.5
    ) as bar:
        for split, count in spec.scenes.items():
            images, annotations = spec.image_root(folder, split), spec.json_file(folder, split)
            images.mkdir(parents=True)
            annotations.parent.mkdir(exist_ok=True)
            coco = _draw_split(images, spec.style, split, count, bar)
            annotations.write_text(json.dumps(coco))


def _draw_split(
    images: Path, style: SceneStyle, split: str, count: int, bar: tqdm
) -> dict[str, list[dict]]:
    """Draw ``count`` scenes into ``images``; returns their COCO annotations."""
    pool = load_pool(split)
    coco = {
        "images": [],
        "annotations": [],
        "categories": [{"id": i, "name": name} for i, name in enumerate(CLASS_NAMES, start=1)],
    }
    for index in range(count):
        scene = compose_scene(np.random.default_rng(FIRST_SEED[split] + index), pool, style)
        file_name, image_id = f"{index:06d}.png", index + 1
        _write_png(images / file_name, scene.image)
        size = {"height": style.size, "width": style.size}
        coco["images"].append({"id": image_id, "file_name": file_name, **size})
        for digit in scene.digits:
            annotation = {"id": len(coco["annotations"]) + 1, "image_id": image_id}
            annotation["source"] = int(pool.indices[digit.source])  # in sklearn's load_digits
            coco["annotations"].append(annotation | _coco_object(digit))
        bar.update()
    return coco


def _coco_object(digit: Digit) -> dict:
    """The fields of a COCO annotation that say what and where; the area is the box's."""
    x1, y1, x2, y2 = digit.box
    return {
        "category_id": digit.label + 1,
        "bbox": [x1, y1, x2 - x1, y2 - y1],
        "area": (x2 - x1) * (y2 - y1),
        "iscrowd": 0,
    }


def _write_png(path: Path, image: np.ndarray) -> None:
    """Write an RGB image without loss."""
    if not cv2.imwrite(str(path), image[:, :, ::-1]):
        raise OSError(f'cannot write "{path}"')
