"""What a COCO json file must hold, checked before anything is built on it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Collection, Mapping
from functools import lru_cache
from typing import Any, NamedTuple


class Kind(NamedTuple):
    """What the value of a field must be.

    Attributes:
        fits: whether a value is of the kind.
        name: what to call the kind.
    """

    fits: Callable[[Any], bool]
    name: str


def is_number(value: Any) -> bool:
    """Whether a value read from JSON is a finite number, and one that a float can hold."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return abs(value) <= sys.float_info.max  # not of NaN, and for integers of any length


def is_box(value: Any) -> bool:
    """Whether a value read from JSON is a list of four finite numbers."""
    return isinstance(value, list) and len(value) == 4 and all(map(is_number, value))


SECTIONS = ("images", "annotations", "categories")
_ID = Kind(lambda value: isinstance(value, (int, str)), "an id")
_SIDE = Kind(lambda value: is_number(value) and value > 0, "a number of pixels")
_ANY = Kind(lambda value: True, "anything")
CATEGORY_FIELDS = {"name": _ANY}
IMAGE_FIELDS = {
    "file_name": Kind(lambda value: isinstance(value, str), "text"),
    "height": _SIDE,
    "width": _SIDE,
}
ANNOTATION_FIELDS = {
    "image_id": _ID,
    "category_id": _ID,
    "bbox": Kind(is_box, "four numbers"),
}
# These may be missing. Detectron2 does not take "ignore".
ANNOTATION_OPTIONS = {
    "area": Kind(is_number, "a number"),
    "iscrowd": Kind(lambda value: value in (0, 1), "0 or 1"),
    "ignore": Kind(lambda value: value == 0, '0 ("iscrowd" 1 is for what is to be ignored)'),
}


class CocoFile(NamedTuple):
    """What is to be known of a COCO json file before its images and boxes are.

    Attributes:
        classes: name of each category by its id, in the order of the ids.
        first_image: the file name of one image.
    """

    classes: dict[int, str]
    first_image: str


def inspect_coco_file(path: str) -> CocoFile:
    """Read and check a file; again only if it has changed since.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not JSON or not in the COCO format; the text goes on from the file's name.
    """
    status = os.stat(path)
    return _inspect(os.path.abspath(path), status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=32)
def _inspect(path: str, modified: int, size: int) -> CocoFile:
    with open(path, encoding="utf-8") as file:
        try:
            content = json.load(file)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"is not JSON: {error}") from None
    for section in SECTIONS:
        if not isinstance(content, dict) or not isinstance(content.get(section), list):
            raise ValueError(f'has no list "{section}", which the COCO format asks for')
    images, annotations, categories = (content[section] for section in SECTIONS)
    _check_entries("a category", categories, CATEGORY_FIELDS)
    _check_entries("an image", images, IMAGE_FIELDS, id_type=(int, str))
    if not categories:
        raise ValueError('has no categories: the list "categories" must name each class')
    classes = {one["id"]: str(one["name"]) for one in categories}
    _check_annotations(annotations, {one["id"] for one in images}, classes)
    if not images:
        raise ValueError("has no images")
    return CocoFile(dict(sorted(classes.items())), images[0]["file_name"])


def _check_entries(
    kind: str,
    entries: list[Any],
    fields: Mapping[str, Kind],
    options: Mapping[str, Kind] | None = None,
    id_type: type | tuple[type, ...] = int,
) -> None:
    """Each must have an id of its own and some fields, and may have some more."""
    ids = set()
    for position, entry in enumerate(entries):
        if not isinstance(entry, dict) or not isinstance(entry.get("id"), id_type):
            raise ValueError(f'has {kind} without a whole number as "id" (number {position})')
        missing = [field for field in fields if field not in entry]
        if missing:
            raise ValueError(f'has {kind} without "{missing[0]}" (id {entry["id"]})')
        for field, wanted in {**fields, **(options or {})}.items():
            if field in entry and not wanted.fits(entry[field]):
                raise ValueError(
                    f'has {kind} (id {entry["id"]}) whose "{field}" is {entry[field]!r}, '
                    f"must be {wanted.name}"
                )
        if entry["id"] in ids:
            raise ValueError(f"has several entries of {kind.split()[1]} id {entry['id']}")
        ids.add(entry["id"])


def _check_annotations(
    annotations: list[Any], image_ids: Collection[int], category_ids: Collection[int]
) -> None:
    """Each must be of an image and of a category that the file has."""
    references = {"image_id": ("images", image_ids), "category_id": ("categories", category_ids)}
    _check_entries("an annotation", annotations, ANNOTATION_FIELDS, ANNOTATION_OPTIONS)
    for annotation in annotations:
        for field, (section, ids) in references.items():
            if annotation[field] not in ids:
                raise ValueError(
                    f"has an annotation (id {annotation['id']}) of {field} {annotation[field]!r}, "
                    f'which is not in "{section}"'
                )
