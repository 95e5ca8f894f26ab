"""Find out what is wrong with a dataset before a run begins, and say it in one line."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import BoxMode
from detectron2.utils.file_io import PathManager

from ..errors import ConfigError, UserError, nearest
from .build import datasets_root

logger = logging.getLogger(__name__)

# What to do about a missing dataset, where its metadata has no "remedy" of its own.
DEFAULT_REMEDY = (
    'set DETECTRON2_DATASETS (now "{root}") to the folder of all datasets, laid out as '
    "https://detectron2.readthedocs.io/tutorials/builtin_datasets.html"
)
BORDER_TOLERANCE = 1.0  # pixels beyond the image that are put down to rounding

Owner = tuple[dict[str, Any], int]  # an annotation: the image it is of, and its index there


def check_datasets_available(names: Sequence[str]) -> None:
    """Make the datasets that can be made and refuse names whose files are missing.

    Args:
        names: as in ``DATASETS.TRAIN`` and ``DATASETS.TEST``.

    Raises:
        ConfigError: there is no dataset of that name.
        UserError: its annotations or images are not on this machine.
    """
    for name in names:
        check_known(name)
        metadata = MetadataCatalog.get(name)
        prepare = metadata.get("prepare")
        if prepare is not None:
            prepare()
        for path in filter(None, (metadata.get("json_file"), metadata.get("image_root"))):
            if not PathManager.exists(path):
                remedy = metadata.get("remedy") or DEFAULT_REMEDY.format(root=datasets_root())
                raise UserError(
                    f'dataset "{name}" is not on this machine: "{path}" is missing; {remedy}'
                )


def check_known(name: str) -> None:
    """Refuse a name that no dataset has.

    Raises:
        ConfigError: with the nearest name.
    """
    if name not in DatasetCatalog.list():
        raise ConfigError(
            f'unknown dataset "{name}".{nearest(name, DatasetCatalog.list())}'
            " (DATASETS.REGISTER takes datasets of your own.)"
        )


def sanitize_annotations(
    dataset_dicts: list[dict[str, Any]], name: str, num_classes: int
) -> list[dict[str, Any]]:
    """Drop boxes that enclose nothing, clip those that leave the image, and report both once.

    Args:
        dataset_dicts: in Detectron2's format; changed in place where a box is bad.
        name: of the dataset, for the messages.
        num_classes: class ids are in [0, num_classes).

    Returns:
        ``dataset_dicts``.

    Raises:
        UserError: an annotation has no box of four numbers, or its class id is out of range.
    """
    owners = [(record, i) for record in dataset_dicts for i in range(len(record["annotations"]))]
    if not owners:
        return dataset_dicts
    _check_classes(owners, name, num_classes)
    boxes = _boxes(owners, name)
    sizes = np.array([[record["width"], record["height"]] * 2 for record, _ in owners], float)
    clipped = boxes.clip(0, sizes)
    has_area = np.isfinite(boxes).all(axis=1) & (clipped[:, 2:] > clipped[:, :2]).all(axis=1)
    outside = has_area & (abs(clipped - boxes) > BORDER_TOLERANCE).any(axis=1)
    _report(owners, name, ~has_area, "no area inside the image; they are dropped")
    _report(owners, name, outside, "a part outside the image; they are clipped")
    for position in np.flatnonzero(outside):
        record, index = owners[position]
        record["annotations"][index].update(
            bbox=clipped[position].tolist(), bbox_mode=BoxMode.XYXY_ABS
        )
    for position in np.flatnonzero(~has_area)[::-1]:  # from the back, so that indices stay valid
        record, index = owners[position]
        del record["annotations"][index]
    return dataset_dicts


def _check_classes(owners: list[Owner], name: str, num_classes: int) -> None:
    labels = np.array([record["annotations"][i]["category_id"] for record, i in owners])
    bad = (labels < 0) | (labels >= num_classes)
    if bad.any():
        first = bad.argmax()
        raise UserError(
            f"{_place(owners[first], name)}: category_id is {labels[first]}, must be 0 to "
            f"{num_classes - 1}; correct the annotation or MODEL.OneNet.NUM_CLASSES"
        )


def _boxes(owners: list[Owner], name: str) -> np.ndarray:
    """All boxes as x1, y1, x2, y2, (N, 4)."""
    rows, modes = [], []
    for record, index in owners:
        annotation = record["annotations"][index]
        if len(annotation.get("bbox", ())) != 4:
            raise UserError(
                f"{_place((record, index), name)}: bbox is {annotation.get('bbox')}, "
                "must be four numbers"
            )
        rows.append(annotation["bbox"])
        modes.append(annotation["bbox_mode"])
    boxes, modes = np.array(rows, dtype=float), np.array(modes)
    for mode in np.unique(modes):
        here = modes == mode
        boxes[here] = BoxMode.convert(boxes[here], BoxMode(mode), BoxMode.XYXY_ABS)
    return boxes


def _place(owner: Owner, name: str) -> str:
    record, index = owner
    return f'dataset "{name}", image "{record["file_name"]}", annotation {index}'


def _report(owners: list[Owner], name: str, bad: np.ndarray, what: str) -> None:
    if bad.any():
        first, _ = owners[bad.argmax()]
        logger.warning(
            'dataset "%s": %d of %d boxes have %s (the first is in "%s")',
            name,
            bad.sum(),
            len(bad),
            what,
            first["file_name"],
        )
