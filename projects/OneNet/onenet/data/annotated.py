"""Annotated images, preprocessed as for testing."""

from __future__ import annotations

import numpy as np
from detectron2.config import CfgNode
from detectron2.data import MapDataset

from .augmentation import build_augmentations
from .mapper import OneNetDatasetMapper
from .records import load_records


def annotated_scenes(cfg: CfgNode, dataset_name: str) -> MapDataset:
    """The images of a dataset, preprocessed as for testing, with their ground truth.

    Each is a dict in Detectron2's standard format with ``image`` and ``instances``, both in pixels
    of the network's input.
    """
    return MapDataset(load_records(dataset_name), annotated_mapper(cfg))


def annotated_mapper(cfg: CfgNode) -> OneNetDatasetMapper:
    """Maps the record of an image as :func:`annotated_scenes` has it."""
    return OneNetDatasetMapper(
        is_train=True,  # keeps the annotations
        augmentations=build_augmentations(cfg, is_train=False),
        image_format=cfg.INPUT.FORMAT,
    )


def evenly_spread(total: int, count: int) -> list[int]:
    """At most ``count`` indices from 0 to ``total`` - 1."""
    return np.linspace(0, total - 1, min(count, total)).round().astype(int).tolist()
