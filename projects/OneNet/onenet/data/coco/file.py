"""What a COCO json file must hold, checked before anything is built on it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
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
_WHOLE = Kind(lambda value: _is_whole(value), "a whole number")
_ID = Kind(lambda value: isinstance(value, str) or _is_whole(value), "a whole number or text")
_SIDE = Kind(lambda value: is_number(value) and value > 0 and value % 1 == 0, "a number of pixels")
_TEXT = Kind(lambda value: isinstance(value, str), "text (in quotation marks)")
CATEGORY_FIELDS = {"id": _WHOLE, "name": _TEXT}
IMAGE_FIELDS = {"id": _ID, "file_name": _TEXT, "height": _SIDE, "width": _SIDE}
ANNOTATION_FIELDS = {"image_id": _ID, "category_id": _ID, "bbox": Kind(is_box, "four numbers")}
# These may be missing; so may the id, which is not used. Detectron2 does not take "ignore".
ANNOTATION_OPTIONS = {
    "area": Kind(is_number, "a number"),
    "iscrowd": Kind(lambda value: value in (0, 1), "0 or 1"),
    "ignore": Kind(lambda value: value == 0, '0 ("iscrowd" 1 is for what is to be ignored)'),
}


def _is_whole(value: Any) -> bool:
    """Whether it is an integer, and one that pycocotools' arrays of ids can hold."""
    return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63


class CocoFile(NamedTuple):
    """What a COCO json file says, as far as is needed before its images and boxes are read.

    Attributes:
        classes: name of each category by its id, in the order of the ids.
        first_image: the file name of one image.
    """

    classes: dict[int, str]
    first_image: str


def inspect_coco_file(path: str) -> CocoFile:
    """Read and check a file; again only if it has changed since.

    Raises:
        OSError, ValueError: see :func:`read_coco_file`.
    """
    status = os.stat(path)
    return _inspect(os.path.abspath(path), status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=32)
def _inspect(path: str, modified: int, size: int) -> CocoFile:
    content = read_coco_file(path)
    return CocoFile(category_names(content), content["images"][0]["file_name"])


def read_coco_file(path: str) -> dict[str, list[dict[str, Any]]]:
    """Read and check a file.

    Returns:
        Its ``images``, ``annotations`` (none where the file has no such list, as those of tests on
        a server) and ``categories``, as they stand there.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not JSON or not in the COCO format; the text goes on from the file's name.
    """
    with open(path, encoding="utf-8-sig") as file:  # some editors put a mark before UTF-8
        try:
            content = json.load(file)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"is not JSON: {error}") from None
    if isinstance(content, dict):
        content.setdefault("annotations", [])
    for section in SECTIONS:
        if not isinstance(content, dict) or not isinstance(content.get(section), list):
            raise ValueError(f'has no list "{section}", which the COCO format asks for')
    images, annotations, categories = (content[section] for section in SECTIONS)
    _check_categories(categories)
    _check_images(images)
    _check_annotations(annotations, images, categories)
    if not images:
        raise ValueError("has no images")
    return content


def category_names(content: dict[str, list[dict[str, Any]]]) -> dict[int, str]:
    """Name of each category by its id, in the order of the ids, which is that of the classes."""
    return dict(sorted((one["id"], one["name"]) for one in content["categories"]))


def _check_entries(
    kind: str,
    entries: list[Any],
    fields: Mapping[str, Kind],
    options: Mapping[str, Kind] | None = None,
) -> None:
    """Check that entries have the fields, of the right kinds, and no id twice."""
    kinds, ids = {**fields, **(options or {})}, set()
    for position, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise ValueError(f"has {kind} (number {position}) that is {entry!r:.80}, no object")
        for field in fields:
            if field not in entry:
                raise ValueError(f'has {kind} without "{field}"{_which(entry, position)}')
        for field, wanted in kinds.items():
            if field in entry and not wanted.fits(entry[field]):
                raise ValueError(
                    f'has {kind}{_which(entry, position)} whose "{field}" is {entry[field]!r:.80}, '
                    f"must be {wanted.name}"
                )
        if "id" in fields:
            if entry["id"] in ids:
                raise ValueError(f"has several entries of {kind.split()[1]} id {entry['id']}")
            ids.add(entry["id"])


def _which(entry: dict[str, Any], position: int) -> str:
    return f" (id {entry['id']})" if "id" in entry else f" (number {position})"


def _check_categories(categories: list[Any]) -> None:
    _check_entries("a category", categories, CATEGORY_FIELDS)
    if not categories:
        raise ValueError('has no categories: the list "categories" must name each class')
    ids: dict[str, int] = {}
    for one in categories:
        name = one["name"]
        if name in ids:
            raise ValueError(
                f'has two categories of the name "{name}" (ids {ids[name]} and {one["id"]}): give '
                "each its own name, or remove the one without annotations"
            )
        ids[name] = one["id"]


def _check_images(images: list[Any]) -> None:
    _check_entries("an image", images, IMAGE_FIELDS)
    if len({type(one["id"]) for one in images}) > 1:
        raise ValueError('has images whose "id" is a number and images whose "id" is text')


def _check_annotations(
    annotations: list[Any], images: list[dict[str, Any]], categories: list[dict[str, Any]]
) -> None:
    """Each must be of an image and of a category that the file has."""
    _check_entries("an annotation", annotations, ANNOTATION_FIELDS, ANNOTATION_OPTIONS)
    references = [
        (field, section, {one["id"] for one in entries})
        for field, section, entries in (
            ("image_id", "images", images),
            ("category_id", "categories", categories),
        )
    ]
    for position, annotation in enumerate(annotations):
        for field, section, ids in references:
            if annotation[field] not in ids:
                raise ValueError(
                    f"has an annotation{_which(annotation, position)} of {field} "
                    f'{annotation[field]!r}, which is not in "{section}"'
                )
