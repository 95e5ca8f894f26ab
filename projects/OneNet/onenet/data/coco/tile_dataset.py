"""Datasets of large pictures, cut into datasets of overlapping tiles."""

from __future__ import annotations

import json
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from tqdm import tqdm

from ...errors import UserError
from ...files import complete_folder
from ...images import open_image
from ...tiles import Box, TileGrid
from ..pictures import check_pictures
from .file import category_names, read_coco_file
from .records import to_records
from .repair import repair_boxes
from .tile_annotations import cut_annotations

logger = logging.getLogger(__name__)

Coco = dict[str, Any]  # the content of a COCO json file


@dataclass(frozen=True)
class Tiling(TileGrid):
    """How to cut pictures.

    Attributes:
        min_share: see :func:`~onenet.data.coco.tile_annotations.cut_annotations`.
        keep_empty: whether tiles in which nothing is annotated are kept.

    Raises:
        UserError: these cannot be.
    """

    min_share: float = 0.4
    keep_empty: bool = True

    def __post_init__(self):
        super().__post_init__()
        if not 0 <= self.min_share <= 1:
            raise UserError(
                f"the share of a box that must remain is {self.min_share}, must be from 0 to 1"
            )


def tile_dataset(json_file: Path, image_root: Path, output: Path, tiling: Tiling) -> Coco:
    """Cut a dataset, into a new folder with ``annotations.json`` and ``images``.

    Args:
        json_file: annotations in COCO's format.
        image_root: folder that their file names start in.
        output: the new folder, which appears when it is complete.
        tiling: how to cut.

    Returns:
        What is in the new ``annotations.json``; see :func:`write_tiles`.

    Raises:
        UserError: an input is missing or broken, or the folder is there or cannot be written.
    """
    if output.exists():
        raise UserError(f'"{output}" is there already: remove it, or choose another folder')
    try:
        content = read_coco_file(str(json_file))
    except OSError as error:
        raise UserError(f'cannot read the annotations "{json_file}": {error.strerror}') from None
    except ValueError as error:
        raise UserError(f'the annotations "{json_file}": it {error}') from None
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with complete_folder(output) as new:
            tiles = write_tiles(content, image_root, new / "images", tiling, str(json_file))
            (new / "annotations.json").write_text(json.dumps(tiles), encoding="utf-8")
    except OSError as error:
        raise UserError(f'cannot write "{output}": {error}') from error
    return tiles


def write_tiles(
    content: Coco, image_root: str | os.PathLike, images: Path, tiling: Tiling, name: str
) -> Coco:
    """Cut the pictures of a dataset into PNG files, with a progress bar.

    Args:
        content: as :func:`~onenet.data.coco.file.read_coco_file` returns it.
        image_root: folder that its file names start in.
        images: folder of the tiles, made here.
        tiling: how to cut.
        name: of the dataset, for messages.

    Returns:
        The COCO json of the tiles: categories, and what else is in ``content``, as there; of an
        annotation the box, category, crowd flag and area. An image has also ``source``, the file
        name of its picture, and ``offset``, its upper left corner in it as x, y.

    Raises:
        UserError: a picture is missing, cannot be used or has another size than annotated, the
            boxes cannot be pixels, or no tile is left.
        OSError: a tile cannot be written.
    """
    records = to_records(content, os.fspath(image_root))
    if repaired := repair_boxes(records, name):
        logger.warning('"%s": %s', name, repaired)
    check_pictures(records, name)
    tiles = {**content, "images": [], "annotations": []}
    ids = list(category_names(content))
    sources = {image["id"]: image["file_name"] for image in content["images"]}
    places = [_places(record, tiling) for record in records]
    if not any(places):
        raise UserError(f'no tile of "{name}" has a box: keep the empty ones')
    images.mkdir(parents=True)
    with tqdm(total=sum(map(len, places)), desc="cutting", unit="tile", mininterval=0.5) as bar:
        for number, (record, boxes) in enumerate(zip(records, places, strict=True), start=1):
            picture, source = _open_picture(record), sources[record["image_id"]]
            for box, annotations in boxes:
                image = _write_tile(picture, box, images, f"{number:06d}_{Path(source).stem}")
                _add(tiles, {**image, "source": source}, annotations, ids)
                bar.update()
    return tiles


def _places(record: dict[str, Any], tiling: Tiling) -> list[tuple[Box, list[dict[str, Any]]]]:
    """The tiles of a picture that are wanted, and what is annotated in each."""
    boxes = tiling.boxes(record["width"], record["height"])
    cuts = [(box, cut_annotations(record["annotations"], box, tiling.min_share)) for box in boxes]
    return [(box, annotations) for box, annotations in cuts if annotations or tiling.keep_empty]


def _open_picture(record: dict[str, Any]) -> Image.Image:
    """The picture of a record, which has the size that the record says."""
    picture = open_image(record["file_name"])
    size = record["width"], record["height"]
    if picture.size != size:
        raise UserError(
            f'"{record["file_name"]}" has {_pixels(picture.size)}, but its annotations say '
            f"{_pixels(size)}: correct them, or restore the file"
        )
    return picture


def _pixels(size: tuple[int, int]) -> str:
    return "{} x {} pixels".format(*size)


def _write_tile(picture: Image.Image, box: Box, images: Path, prefix: str) -> dict[str, Any]:
    """Write one tile; returns its entry in COCO's ``images``, without the id."""
    tile, (x, y, _, _) = picture.crop(box), box
    file_name = f"{prefix}_{x}_{y}.png"
    tile.save(images / file_name)
    return {"file_name": file_name, "width": tile.width, "height": tile.height, "offset": [x, y]}


def _add(
    tiles: Coco, image: dict[str, Any], annotations: list[dict[str, Any]], ids: list[int]
) -> None:
    """Add a tile and its annotations, whose classes count the category ``ids``."""
    image_id = len(tiles["images"]) + 1
    tiles["images"].append({"id": image_id, **image})
    for one in annotations:
        numbers = {"id": len(tiles["annotations"]) + 1, "image_id": image_id}
        tiles["annotations"].append({**numbers, **one, "category_id": ids[one["category_id"]]})
