"""Annotated images, preprocessed as for testing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from detectron2.config import CfgNode
from detectron2.data import MapDataset

from ..errors import UserError
from .augmentation import build_augmentations
from .classes import check_num_classes
from .coco.annotated_files import load_annotated_files
from .mapper import OneNetDatasetMapper
from .records import load_records


def annotated_records(
    inputs: Sequence[str], annotations: str | None, num_classes: int
) -> list[dict[str, Any]]:
    """Read what ``--input`` and ``--annotations`` of a program name.

    Args:
        inputs: a registered dataset, or with ``annotations`` images and folders.
        annotations: a COCO json.
        num_classes: of the model.

    Raises:
        UserError: there are none, or they do not fit the model.
    """
    if annotations:
        return load_annotated_files(inputs, annotations, num_classes)
    if len(inputs) > 1 or Path(inputs[0]).exists():
        raise UserError(f'--input "{inputs[0]}": images need --annotations with a COCO json.')
    records = load_records(inputs[0])
    check_num_classes(inputs, num_classes)
    return records


def annotated_scenes(cfg: CfgNode, dataset_name: str) -> MapDataset:
    """The images of a dataset, preprocessed as for testing, with their ground truth.

    Each is a dict in Detectron2's standard format with ``image`` and ``instances``, both in pixels
    of the network's input.
    """
    return MapDataset(load_records(dataset_name), annotated_mapper(cfg))


def annotated_mapper(cfg: CfgNode, *, blank: bool = False) -> OneNetDatasetMapper:
    """Maps the record of an image as :func:`annotated_scenes` has it.

    Args:
        cfg: reads ``INPUT``.
        blank: do not read images of which the record tells the size: they are black.
    """
    mapper = _BlankMapper if blank else OneNetDatasetMapper
    return mapper(
        is_train=True,  # keeps the annotations
        augmentations=build_augmentations(cfg, is_train=False),
        image_format=cfg.INPUT.FORMAT,
    )


class _BlankMapper(OneNetDatasetMapper):
    """Maps boxes, for which the size of an image is enough."""

    def _read(self, record: dict[str, Any]) -> np.ndarray:
        if "height" not in record or "width" not in record:
            return super()._read(record)
        return np.zeros((record["height"], record["width"], 3), np.uint8)


def evenly_spread(total: int, count: int) -> list[int]:
    """At most ``count`` indices from 0 to ``total`` - 1."""
    return np.linspace(0, total - 1, min(count, total)).round().astype(int).tolist()
