"""Ignore regions on their way through Detectron2's mapper, which has no place for them."""

from __future__ import annotations

from typing import Any

IGNORE_CLASS = -1


def as_instances(dataset_dict: dict[str, Any]) -> dict[str, Any]:
    """A copy in which the annotations with ``iscrowd`` are objects of the class ``IGNORE_CLASS``.

    The stock mapper drops annotations with ``iscrowd``; these it augments like any other.
    """
    annotations = [
        {**one, "iscrowd": 0, "category_id": IGNORE_CLASS} if one.get("iscrowd") else one
        for one in dataset_dict.get("annotations", ())
    ]
    return {**dataset_dict, "annotations": annotations}


def split_regions(sample: dict[str, Any]) -> dict[str, Any]:
    """Move the objects of ``IGNORE_CLASS`` from ``instances`` to ``ignore_boxes`` (n, 4)."""
    instances = sample["instances"]
    ignored = instances.gt_classes == IGNORE_CLASS
    return {
        **sample,
        "instances": instances[~ignored],
        "ignore_boxes": instances.gt_boxes.tensor[ignored],
    }
