"""Boxes without area or beyond the image: dropped and clipped, in training and evaluation."""

from __future__ import annotations

from typing import Any

import numpy as np
from detectron2.structures import BoxMode

from ...errors import UserError

BORDER_TOLERANCE = 1.0  # pixels beyond the image that are put down to rounding
LARGEST_FRACTION = 1.5  # of a side of the image; boxes of a hair too large are no more than 1

Owner = tuple[dict[str, Any], int]  # an annotation: the image it is of, and its index there


def repair_boxes(records: list[dict[str, Any]], name: str) -> str:
    """Drop boxes that enclose nothing and clip those that leave the image.

    Args:
        records: in Detectron2's format, all with ``annotations``; changed in place where a box is
            bad. An annotation whose box is clipped loses its ``area``.
        name: of the dataset, for the messages.

    Returns:
        What was done, with the counts and the first image; empty if nothing was.

    Raises:
        UserError: an annotation has no box of four numbers, or all are fractions of the image.
    """
    owners = [(record, i) for record in records for i in range(len(record["annotations"]))]
    if not owners:
        return ""
    boxes = _boxes(owners, name)
    _check_pixels(boxes, name)
    sizes = np.array([[record["width"], record["height"]] * 2 for record, _ in owners], float)
    clipped = boxes.clip(0, sizes)
    has_area = np.isfinite(boxes).all(axis=1) & (clipped[:, 2:] > clipped[:, :2]).all(axis=1)
    outside = has_area & (abs(clipped - boxes) > BORDER_TOLERANCE).any(axis=1)
    for position in np.flatnonzero(outside):
        record, index = owners[position]
        record["annotations"][index].update(
            bbox=clipped[position].tolist(), bbox_mode=BoxMode.XYXY_ABS
        )
        record["annotations"][index].pop("area", None)
    for position in np.flatnonzero(~has_area)[::-1]:  # from the back, so that indices stay valid
        record, index = owners[position]
        del record["annotations"][index]
    return _describe(owners, ~has_area, outside)


def _boxes(owners: list[Owner], name: str) -> np.ndarray:
    """All boxes as x1, y1, x2, y2, (N, 4)."""
    rows, modes = [], []
    for record, index in owners:
        annotation = record["annotations"][index]
        if len(annotation.get("bbox", ())) != 4:
            raise UserError(
                f'dataset "{name}", image "{record["file_name"]}", annotation {index}: bbox is '
                f"{annotation.get('bbox')}, must be four numbers"
            )
        rows.append(annotation["bbox"])
        modes.append(annotation["bbox_mode"])
    boxes, modes = np.array(rows, dtype=float), np.array(modes)
    for mode in np.unique(modes):
        here = modes == mode
        boxes[here] = BoxMode.convert(boxes[here], BoxMode(mode), BoxMode.XYXY_ABS)
    return boxes


def _check_pixels(boxes: np.ndarray, name: str) -> None:
    """Refuse boxes that all lie in the corner of their images, where fractions would."""
    real = boxes[(boxes[:, 2:] > boxes[:, :2]).all(axis=1)]
    if len(real) and abs(real).max() <= LARGEST_FRACTION:
        raise UserError(
            f'dataset "{name}": its {len(real)} boxes seem to be fractions of the image, no '
            f"coordinate is above {abs(real).max():.3g}; they must be in pixels: multiply x and "
            "width by the width of the image, y and height by its height"
        )


def _describe(owners: list[Owner], dropped: np.ndarray, clipped: np.ndarray) -> str:
    parts = [
        f"{bad.sum()} of {len(owners)} boxes have {what}"
        for bad, what in (
            (dropped, "no area inside the image and are dropped"),
            (clipped, "a part outside the image and are clipped"),
        )
        if bad.any()
    ]
    if not parts:
        return ""
    first, _ = owners[(dropped | clipped).argmax()]
    return f'{", ".join(parts)} (the first is in "{first["file_name"]}")'
