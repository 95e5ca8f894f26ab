"""The one place where datasets are read, for training and for evaluation."""

from __future__ import annotations

import logging
from typing import Any

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.utils.logger import log_first_n

from ..errors import UserError
from .availability import check_datasets_available
from .coco.records import load_coco_boxes
from .coco.repair import repair_boxes

COCO_TYPES = ("coco", "crowdhuman")  # the ``evaluator_type`` of datasets with a COCO json
NOT_NEEDED = ("segmentation", "keypoints")
BAD_FILE = (
    OSError,
    AssertionError,
    KeyError,
    TypeError,
    ValueError,
)  # what a reader raises on bad content


def load_records(name: str) -> list[dict[str, Any]]:
    """Read a dataset, and warn of what had to be repaired, once in a process.

    Args:
        name: of a registered dataset.

    Returns:
        Records in Detectron2's format, all with ``annotations``, without masks and keypoints. Every
        box has an area inside its image. An annotation has ``area`` where the file knows that of
        the object, which its box may be larger than.

    Raises:
        ConfigError, UserError: the dataset is unknown, not on this machine or cannot be used.
    """
    records, warning = read_records(name)
    if warning:
        log_first_n(logging.WARNING, warning, name=__name__, key="message")
    return records


def read_records(name: str) -> tuple[list[dict[str, Any]], str]:
    """Read a dataset as :func:`load_records` does; also returns its warning, or an empty string."""
    check_datasets_available([name])
    records = _read(name)
    remarks = [repair_boxes(records, name), _nothing_to_find(records)]
    told = "; ".join(filter(None, remarks))
    return records, f'dataset "{name}": {told}' if told else ""


def _read(name: str) -> list[dict[str, Any]]:
    metadata = MetadataCatalog.get(name)
    source = metadata.get("json_file")
    try:
        if source and metadata.get("evaluator_type") in COCO_TYPES:
            return load_coco_boxes(source, metadata.get("image_root", ""), name)
        return [_boxes_alone(record) for record in DatasetCatalog.get(name)]
    except UserError:
        raise
    except BAD_FILE as error:
        raise UserError(
            f'dataset "{name}" cannot be read from "{source or "its source"}": '
            f"{type(error).__name__}: {error}"
        ) from error


def _boxes_alone(record: dict[str, Any]) -> dict[str, Any]:
    """A copy, so that a repair does not reach whoever owns the record."""
    annotations = [
        {key: value for key, value in one.items() if key not in NOT_NEEDED}
        for one in record.get("annotations", ())
    ]
    return {**record, "annotations": annotations}


def _nothing_to_find(records: list[dict[str, Any]]) -> str:
    annotations = [one for record in records for one in record["annotations"]]
    if any(not one.get("iscrowd") for one in annotations):
        return ""
    return (
        f"there is no object in its {len(records)} images, only {len(annotations)} boxes that are "
        '"iscrowd"'
    )
