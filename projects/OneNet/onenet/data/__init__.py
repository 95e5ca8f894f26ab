"""Datasets, their checks and the mapper that turns them into training samples."""

from .availability import check_datasets_available
from .builtin import register_digits
from .classes import (
    check_class_order,
    check_labels,
    check_num_classes,
    check_same_classes,
    class_difference,
    class_names,
    count_classes,
    told_names,
)
from .coco.register import register_datasets
from .crowdhuman.dataset import register_crowdhuman
from .digits.build import ensure_digits
from .loader import build_test_loader, build_train_loader
from .mapper import OneNetDatasetMapper
from .photographs.build import ensure_trees
from .photographs.register import register_trees
from .pictures import check_pictures
from .records import load_records, read_records

__all__ = [
    "OneNetDatasetMapper",
    "build_test_loader",
    "build_train_loader",
    "check_class_order",
    "check_datasets_available",
    "check_labels",
    "check_num_classes",
    "check_pictures",
    "check_same_classes",
    "class_difference",
    "class_names",
    "count_classes",
    "ensure_digits",
    "ensure_trees",
    "load_records",
    "read_records",
    "register_crowdhuman",
    "register_datasets",
    "register_digits",
    "register_trees",
    "told_names",
]

register_digits()
register_crowdhuman()
register_trees()
