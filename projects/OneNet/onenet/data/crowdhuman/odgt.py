"""CrowdHuman's annotations (.odgt: one JSON object a line, for an image each) as COCO json.

Format: https://www.crowdhuman.org/download.html. A box of the tag "mask" (a crowd, a reflection, a
picture of people), or with ``extra.ignore``, is no person to be found but a region to be ignored.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import ExifTags, Image
from tqdm import tqdm

from ...errors import UserError
from ..coco.file import is_box

PERSON = "person"
CATEGORIES = [{"id": 1, "name": PERSON}]
SUFFIX = ".jpg"
LYING = range(5, 9)  # the orientations of EXIF that swap height and width


@dataclass
class Conversion:
    """What became of an .odgt file.

    Attributes:
        coco: the content of a COCO json file, of all lines that could be used.
        problems: of each other line its number, from 1 on, and what is wrong with it.
    """

    coco: dict[str, list[dict]]
    problems: list[tuple[int, str]] = field(default_factory=list)


def convert_odgt(odgt: Path, image_root: Path) -> Conversion:
    """Convert an .odgt file; shows a progress bar, because it opens every image for its size.

    Boxes are the full ones, as annotated: they may reach beyond the image. Ignore regions have
    ``iscrowd`` 1. ``bbox_vis`` is the visible box, where there is one.

    Raises:
        UserError: the file or the folder of the images is missing, or no line can be used.
    """
    check_inputs(odgt, image_root)
    result = _convert_lines(odgt.read_bytes().splitlines(), image_root, odgt.name)
    if not result.coco["images"]:
        raise UserError(f'"{odgt}" has no line that can be used{_first(result.problems)}')
    return result


def check_inputs(odgt: Path, image_root: Path) -> None:
    """Refuse to convert what is not there.

    Raises:
        UserError: the file or the folder of the images is missing.
    """
    for path, exists in ((odgt, odgt.is_file()), (image_root, image_root.is_dir())):
        if not exists:
            raise UserError(
                f'"{path}" is missing: get it from https://www.crowdhuman.org/download.html '
                "(docs/crowdhuman.md says what goes where)"
            )


def _convert_lines(lines: Iterable[bytes], image_root: Path, name: str) -> Conversion:
    result = Conversion({"images": [], "annotations": [], "categories": CATEGORIES})
    images, annotations = result.coco["images"], result.coco["annotations"]
    numbers: dict[str, int] = {}  # line of each image
    for number, line in enumerate(tqdm(lines, desc=name, unit="image", mininterval=0.5), start=1):
        if not line.strip():
            continue
        try:
            record = _parse(line)
            if record["ID"] in numbers:
                raise ValueError(f'"{record["ID"]}" is in line {numbers[record["ID"]]} already')
            boxes = [_annotation(box) for box in record["gtboxes"]]
            image = _image(record["ID"], image_root)
        except ValueError as error:
            result.problems.append((number, str(error)))
            continue
        numbers[record["ID"]] = number
        images.append({"id": len(images) + 1, **image})
        for box in boxes:
            annotations.append({"id": len(annotations) + 1, "image_id": len(images), **box})
    return result


def _parse(line: bytes) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:  # the latter of brackets in thousands of brackets
        raise ValueError(f"no JSON: {error}") from None
    if not isinstance(record, dict):
        raise ValueError("no JSON object")
    if not isinstance(record.get("ID"), str):
        raise ValueError('no "ID"')
    if not isinstance(record.get("gtboxes"), list):
        raise ValueError('no list "gtboxes"')
    return record


def _annotation(box: Any) -> dict[str, Any]:
    """One of the ``gtboxes`` as a COCO annotation without its ids."""
    if not isinstance(box, dict) or not is_box(box.get("fbox")):
        raise ValueError(f'a box without an "fbox" of four numbers: {json.dumps(box)[:80]}')
    extra = box.get("extra")
    ignored = isinstance(extra, dict) and extra.get("ignore", 0) != 0
    _, _, width, height = box["fbox"]
    annotation = {
        "category_id": 1,
        "bbox": box["fbox"],
        "area": width * height,
        "iscrowd": int(ignored or box.get("tag") != PERSON),
    }
    return annotation | ({"bbox_vis": box["vbox"]} if is_box(box.get("vbox")) else {})


def _image(image_id: str, image_root: Path) -> dict[str, Any]:
    """Name and upright size of an image; reads no more than its header."""
    file_name = image_id + SUFFIX
    try:
        with Image.open(image_root / file_name) as image:
            lies = image.getexif().get(ExifTags.Base.Orientation, 1) in LYING
            width, height = image.size[::-1] if lies else image.size
    except FileNotFoundError:
        raise ValueError(f'no image "{file_name}"') from None
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f'the image "{file_name}" cannot be read: {error}') from None
    return {"file_name": file_name, "height": height, "width": width}


def _first(problems: list[tuple[int, str]]) -> str:
    return f"; line {problems[0][0]}: {problems[0][1]}" if problems else ""
