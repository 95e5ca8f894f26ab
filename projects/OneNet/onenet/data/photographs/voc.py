"""Annotations in the XML format of Pascal VOC."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from ...errors import UserError

CORNERS = ("xmin", "ymin", "xmax", "ymax")


class VocFile(NamedTuple):
    """What is annotated in one image, in pixels from 0 on.

    Attributes:
        width, height: of the image.
        boxes: x1, y1, x2, y2 of each object, whatever its class.
    """

    width: int
    height: int
    boxes: list[list[float]]


def read_voc(path: Path) -> VocFile:
    """Read a file.

    Raises:
        UserError: it is missing, no XML, or lacks a number.
    """
    try:
        root = ElementTree.parse(path).getroot()
        boxes = [
            [float(_text(one, f"bndbox/{corner}")) for corner in CORNERS]
            for one in root.iter("object")
        ]
        return VocFile(int(_text(root, "size/width")), int(_text(root, "size/height")), boxes)
    except OSError as error:
        raise UserError(f'cannot read the annotations "{path}": {error.strerror}') from None
    except (ElementTree.ParseError, ValueError) as error:
        raise UserError(
            f'the annotations "{path}" are not in the format of Pascal VOC: {error}'
        ) from None


def _text(element: ElementTree.Element, tag: str) -> str:
    text = element.findtext(tag)
    if text is None:
        raise ValueError(f"no {tag}")
    return text
