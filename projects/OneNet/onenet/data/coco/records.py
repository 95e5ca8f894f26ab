"""COCO json files as Detectron2's records, without masks and keypoints."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping
from operator import itemgetter
from typing import Any

from detectron2.data import MetadataCatalog
from detectron2.structures import BoxMode
from detectron2.utils.file_io import PathManager

from ...errors import UserError
from .file import category_names, read_coco_file


def load_coco_boxes(json_file: str, image_root: str, name: str) -> list[dict[str, Any]]:
    """Read a file and tell the catalog its classes, as Detectron2's ``load_coco_json`` does.

    That one drops a box with its polygon where the polygon is none, and wants ids for the
    annotations. Here segmentations and keypoints are not read at all.

    Args:
        json_file: in COCO's format.
        image_root: folder that its file names start in.
        name: of the dataset.

    Returns:
        Records in the order of the images' ids. Annotations have ``bbox``, ``bbox_mode``,
        ``category_id`` in [0, number of classes), ``iscrowd`` and, where the file has one that can
        be, ``area``.

    Raises:
        OSError, ValueError: see :func:`~onenet.data.coco.file.read_coco_file`.
        UserError: the catalog has other classes.
    """
    content = read_coco_file(PathManager.get_local_path(json_file))
    tell_classes(name, category_names(content))
    return to_records(content, image_root)


def to_records(content: dict[str, list[dict[str, Any]]], image_root: str) -> list[dict[str, Any]]:
    """The records that :func:`load_coco_boxes` returns, of what ``read_coco_file`` has read."""
    labels = {id_: label for label, id_ in enumerate(category_names(content))}
    annotations = defaultdict(list)
    for one in content["annotations"]:
        annotations[one["image_id"]].append(_annotation(one, labels))
    return [
        {
            "file_name": os.path.join(image_root, image["file_name"]),
            "height": int(image["height"]),
            "width": int(image["width"]),
            "image_id": image["id"],
            "annotations": annotations[image["id"]],
        }
        for image in sorted(content["images"], key=itemgetter("id"))
    ]


def _annotation(one: dict[str, Any], labels: Mapping[int, int]) -> dict[str, Any]:
    annotation = {
        "bbox": one["bbox"],
        "bbox_mode": BoxMode.XYWH_ABS,
        "category_id": labels[one["category_id"]],
        "iscrowd": int(one.get("iscrowd", 0)),
    }
    _, _, width, height = one["bbox"]
    # Of the pixels that the box touches, at most two more than its sides are long, and of some.
    if 0 < one.get("area", 0) <= (width + 2) * (height + 2):
        annotation["area"] = one["area"]
    return annotation


def tell_classes(name: str, classes: Mapping[int, str]) -> None:
    """Tell the catalog what the classes of a dataset are called, and their ids in its file.

    Raises:
        UserError: it has been told otherwise.
    """
    try:
        MetadataCatalog.get(name).set(
            thing_classes=list(classes.values()),
            thing_dataset_id_to_contiguous_id={id_: i for i, id_ in enumerate(classes)},
        )
    except AssertionError as error:
        raise UserError(
            f'dataset "{name}" is registered with other categories than its file has: '
            f"{' '.join(str(error).split())}"
        ) from error
