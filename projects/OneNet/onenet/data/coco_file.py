"""What a COCO json file must hold, checked before anything is built on it."""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from functools import lru_cache
from typing import Any, NamedTuple

SECTIONS = ("images", "annotations", "categories")
IMAGE_FIELDS = ("file_name", "height", "width")


class CocoFile(NamedTuple):
    """What is to be known of a COCO json file before its images and boxes are.

    Attributes:
        classes: name of each category by its id, in the order of the ids.
        first_image: the file name of one image; None where there is none.
    """

    classes: dict[int, str]
    first_image: str | None


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
        except ValueError as error:
            raise ValueError(f"is not JSON: {error}") from None
    for section in SECTIONS:
        if not isinstance(content, dict) or not isinstance(content.get(section), list):
            raise ValueError(f'has no list "{section}", which the COCO format asks for')
    images, annotations, categories = (content[section] for section in SECTIONS)
    _check_entries("category", categories, ("name",))
    _check_entries("image", images, IMAGE_FIELDS, id_type=(int, str))
    if not categories:
        raise ValueError('has no categories: the list "categories" must name each class')
    classes = {one["id"]: str(one["name"]) for one in categories}
    _check_annotations(annotations, {one["id"] for one in images}, classes)
    return CocoFile(dict(sorted(classes.items())), images[0]["file_name"] if images else None)


def _check_entries(
    kind: str,
    entries: list[Any],
    fields: Collection[str],
    id_type: type | tuple[type, ...] = int,
) -> None:
    """Each must have an id of its own and some fields."""
    ids = set()
    for position, entry in enumerate(entries):
        if not isinstance(entry, dict) or not isinstance(entry.get("id"), id_type):
            raise ValueError(f'has a {kind} without a whole number as "id" (number {position})')
        missing = [field for field in fields if field not in entry]
        if missing:
            raise ValueError(f'has a {kind} without "{missing[0]}" (id {entry["id"]})')
        if entry["id"] in ids:
            raise ValueError(f"has several entries of {kind} id {entry['id']}")
        ids.add(entry["id"])


def _check_annotations(
    annotations: list[Any], image_ids: Collection[int], category_ids: Collection[int]
) -> None:
    """Each must be of an image and of a category that the file has."""
    references = {"image_id": ("images", image_ids), "category_id": ("categories", category_ids)}
    _check_entries("annotation", annotations, (*references, "bbox"))
    for annotation in annotations:
        for field, (section, ids) in references.items():
            if annotation[field] not in ids:
                raise ValueError(
                    f"has an annotation (id {annotation['id']}) of {field} {annotation[field]!r}, "
                    f'which is not in "{section}"'
                )
