"""What is annotated in a tile of a picture."""

from __future__ import annotations

from typing import Any

import numpy as np
from detectron2.structures import BoxMode

from ...tiles import Box


def cut_annotations(
    annotations: list[dict[str, Any]], tile: Box, min_share: float
) -> list[dict[str, Any]]:
    """The annotations of a picture that count in a tile, cut at its border.

    A crowd region (``iscrowd``) counts however little of it is in the tile, because it only says
    what is to be ignored there.

    Args:
        annotations: of the picture, in Detectron2's format, all boxes with an area inside it.
        tile: x1, y1, x2, y2 in pixels of the picture.
        min_share: of the area of a box, from 0 to 1, that must remain in the tile.

    Returns:
        New annotations in COCO's format: ``bbox`` as x, y, width, height in pixels of the tile,
        ``category_id`` as it was, ``iscrowd``, and ``area``: that of the object, where it is known,
        times the share of its box that remains.
    """
    if not annotations:
        return []
    boxes = np.array([_corners(one) for one in annotations], float)
    inside = boxes.clip(tile[:2] * 2, tile[2:] * 2)
    areas, left = _areas(boxes), _areas(inside)
    crowd = np.array([one["iscrowd"] for one in annotations], bool)
    counts = (left > 0) & (crowd | (left >= min_share * areas))
    x, y, _, _ = tile
    return [
        {
            "bbox": [x1 - x, y1 - y, x2 - x1, y2 - y1],
            "category_id": annotations[i]["category_id"],
            "iscrowd": annotations[i]["iscrowd"],
            "area": float(annotations[i].get("area", areas[i]) * left[i] / areas[i]),
        }
        for i in np.flatnonzero(counts)
        for x1, y1, x2, y2 in [inside[i].tolist()]
    ]


def _corners(annotation: dict[str, Any]) -> list[float]:
    """The box as x1, y1, x2, y2."""
    x, y, width, height = annotation["bbox"]
    if annotation["bbox_mode"] == BoxMode.XYXY_ABS:
        return annotation["bbox"]
    return [x, y, x + width, y + height]


def _areas(boxes: np.ndarray) -> np.ndarray:
    """Areas (N,) of boxes (N, 4); 0 where a box has been clipped to nothing."""
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
