"""Loaders over checked annotations."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import Any

from detectron2.config import CfgNode
from detectron2.data import (
    DatasetCatalog,
    MetadataCatalog,
    build_detection_test_loader,
    build_detection_train_loader,
)
from detectron2.data.build import (
    filter_images_with_only_crowd_annotations,
    print_instances_class_histogram,
)
from torch.utils.data import DataLoader

from ..errors import UserError
from .checks import check_datasets_available, sanitize_annotations
from .mapper import OneNetDatasetMapper

BAD_FILE = (AssertionError, KeyError, TypeError, ValueError)  # what a reader raises on bad content


def build_train_loader(cfg: CfgNode) -> Iterable[list[dict[str, Any]]]:
    """Detectron2's training loader with this project's mapper, over checked annotations.

    Raises:
        UserError: see :func:`load_train_dicts`.
    """
    regions = cfg.MODEL.OneNet.IGNORE_REGIONS
    mapper = OneNetDatasetMapper(cfg, is_train=True, ignore_regions=regions)
    return build_detection_train_loader(cfg, mapper=mapper, dataset=load_train_dicts(cfg))


def build_test_loader(cfg: CfgNode, dataset_name: str) -> DataLoader:
    """Detectron2's test loader with this project's mapper, which names an image it cannot use.

    Raises:
        ConfigError, UserError: the dataset is unknown or not on this machine.
    """
    check_datasets_available([dataset_name])
    return build_detection_test_loader(
        cfg, dataset_name, mapper=OneNetDatasetMapper(cfg, is_train=False)
    )


def load_train_dicts(cfg: CfgNode) -> list[dict[str, Any]]:
    """Read the annotations of ``DATASETS.TRAIN`` and clean them.

    Raises:
        ConfigError, UserError: a dataset is unknown, not on this machine, unreadable or without
            annotations, or has a class that the model does not have.
    """
    names = cfg.DATASETS.TRAIN
    check_datasets_available(names)
    num_classes = cfg.MODEL.OneNet.NUM_CLASSES
    records = list(
        chain.from_iterable(sanitize_annotations(_read(name), name, num_classes) for name in names)
    )
    if cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS:
        records = filter_images_with_only_crowd_annotations(records)
    if not records:
        raise UserError(f"DATASETS.TRAIN {tuple(names)} has no image with a box to train on")
    classes = MetadataCatalog.get(names[0]).get("thing_classes", map(str, range(num_classes)))
    print_instances_class_histogram(records, list(classes))
    return records


def _read(name: str) -> list[dict[str, Any]]:
    try:
        records = DatasetCatalog.get(name)
    except UserError:
        raise
    except BAD_FILE as error:
        source = MetadataCatalog.get(name).get("json_file", "its source")
        raise UserError(
            f'dataset "{name}" cannot be read from "{source}": {type(error).__name__}: {error}'
        ) from error
    if any("annotations" not in record for record in records):
        raise UserError(f'dataset "{name}" has images without annotations, so none to train on')
    return records
