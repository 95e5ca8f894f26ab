"""The classes of datasets, which must agree with the head and with each other."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

from detectron2.data import MetadataCatalog

from ..errors import ConfigError, UserError
from .availability import check_known


def class_names(name: str) -> list[str] | None:
    """What a dataset calls its classes, by class id; None where it has no names.

    Raises:
        ConfigError, UserError: the dataset is unknown, or its annotations cannot be read.
    """
    check_known(name)
    metadata = MetadataCatalog.get(name)
    prepare = metadata.get("prepare")
    if metadata.get("thing_classes") is None and prepare is not None:
        prepare()
    return metadata.get("thing_classes")


def told_names(datasets: Sequence[str], num_classes: int) -> tuple[str, ...] | None:
    """The names of the classes, from the first dataset that has them; None where none has.

    A dataset that is not on this machine, or has another number of classes, is no error: names are
    all that is wanted of it.
    """
    for dataset in datasets:
        try:
            names = class_names(dataset)
        except UserError:
            continue
        if names is not None and len(names) == num_classes:
            return tuple(names)
    return None


def count_classes(names: Sequence[str]) -> int:
    """The number of classes, from the first dataset that names them.

    Raises:
        ConfigError, UserError: none of them names its classes, or one is unknown or cannot be read.
    """
    for name in names:
        classes = class_names(name)
        if classes is not None:
            return len(classes)
    raise ConfigError(
        "MODEL.OneNet.NUM_CLASSES 0 means as many as the datasets have, and none of DATASETS.TRAIN "
        f"and DATASETS.TEST {tuple(names)} tells: give the number"
    )


def check_num_classes(names: Sequence[str], num_classes: int) -> None:
    """Refuse a number of classes that a dataset contradicts.

    Args:
        names: datasets that :func:`check_datasets_available` let through. Those without
            names of classes are passed over.
        num_classes: ``MODEL.OneNet.NUM_CLASSES``.

    Raises:
        ConfigError: they disagree.
    """
    for name in names:
        classes = MetadataCatalog.get(name).get("thing_classes")
        if classes is not None and len(classes) != num_classes:
            raise ConfigError(
                f'MODEL.OneNet.NUM_CLASSES is {num_classes}, but dataset "{name}" has '
                f"{len(classes)} classes ({_abridged(classes)}); set "
                f"MODEL.OneNet.NUM_CLASSES {len(classes)}"
            )


def check_labels(records: Sequence[dict[str, Any]], name: str, num_classes: int) -> None:
    """Refuse an annotation of a class that the model does not have.

    Args:
        records: of :func:`~onenet.data.load_records`.
        name: of the dataset, for the message.
        num_classes: ``MODEL.OneNet.NUM_CLASSES``.

    Raises:
        UserError: names the first such annotation.
    """
    for record in records:
        for index, annotation in enumerate(record["annotations"]):
            if not 0 <= annotation["category_id"] < num_classes:
                raise UserError(
                    f'dataset "{name}", image "{record["file_name"]}", annotation {index}: '
                    f"category_id is {annotation['category_id']}, must be 0 to {num_classes - 1}; "
                    "correct the annotation or MODEL.OneNet.NUM_CLASSES"
                )


def check_same_classes(names: Sequence[str]) -> None:
    """Refuse datasets that do not have the same classes in the same order.

    Args:
        names: datasets that :func:`check_datasets_available` let through. Those without
            names of classes are passed over.

    Raises:
        UserError: names the first class that differs.
    """
    told = [(name, MetadataCatalog.get(name).get("thing_classes")) for name in names]
    told = [(name, classes) for name, classes in told if classes is not None]
    for name, classes in told[1:]:
        first, expected = told[0]
        difference = class_difference(expected, classes)
        if difference:
            raise UserError(
                f'datasets "{first}" and "{name}" have other classes: {difference}; give the '
                "categories of both the same names, in the same order of ids"
            )


def class_difference(first: Sequence[str], second: Sequence[str]) -> str:
    """The first class that two lists do not call the same, in words; empty if they do."""
    for index, (one, other) in enumerate(zip_longest(first, second)):
        if one != other:
            return f"number {index} is {_quoted(one)} and {_quoted(other)}"
    return ""


def check_class_order(source: str, trained: Sequence[str], names: Sequence[str]) -> None:
    """Refuse to go on with, or to judge, weights whose classes have other numbers in the datasets.

    Classes of other names may still be the same ones, and are let through.

    Args:
        source: of the weights, for the message.
        trained: what they call their classes.
        names: what the datasets call theirs.

    Raises:
        UserError: a name of both lists has another place in each.
    """
    for index, (name, here) in enumerate(zip(trained, names, strict=False)):
        if name != here and name in names:
            raise UserError(
                f'the weights "{source}" know "{name}" as class number {index}, and the datasets '
                f"as number {names.index(name)}; give the categories of the datasets the order of "
                f"ids that the weights were trained with ({_abridged(trained, 10)})"
            )


def _quoted(name: str | None) -> str:
    return "missing" if name is None else f'"{name}"'


def _abridged(classes: Sequence[str], most: int = 3) -> str:
    return ", ".join(classes[:most]) + (", ..." if len(classes) > most else "")
