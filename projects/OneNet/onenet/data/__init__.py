"""Datasets, their checks and the mapper that turns them into training samples."""

from .build import ensure_digits
from .builtin import register_digits
from .checks import check_datasets_available
from .classes import (
    check_labels,
    check_num_classes,
    check_same_classes,
    class_names,
    count_classes,
    label_names,
)
from .crowdhuman import register_crowdhuman
from .loader import build_test_loader, build_train_loader
from .mapper import OneNetDatasetMapper
from .pictures import check_pictures
from .records import load_records, read_records
from .register import register_datasets

__all__ = [
    "OneNetDatasetMapper",
    "build_test_loader",
    "build_train_loader",
    "check_datasets_available",
    "check_labels",
    "check_num_classes",
    "check_pictures",
    "check_same_classes",
    "class_names",
    "count_classes",
    "ensure_digits",
    "label_names",
    "load_records",
    "read_records",
    "register_crowdhuman",
    "register_datasets",
    "register_digits",
]

register_digits()
register_crowdhuman()
