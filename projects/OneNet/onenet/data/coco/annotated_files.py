"""Image files of the user's own with a COCO json, without registering them as a dataset."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...errors import UserError, nearest
from ..classes import check_num_classes
from .records import load_coco_boxes
from .repair import repair_boxes

logger = logging.getLogger(__name__)


def load_annotated_files(
    paths: Sequence[str], json_file: str, num_classes: int
) -> list[dict[str, Any]]:
    """Read what a COCO json says of some image files.

    Args:
        paths: image files, or folders, of which those images that the json knows. A file belongs to
            the annotations whose ``file_name`` its path ends in.
        json_file: annotations in COCO's format.
        num_classes: of the model.

    Returns:
        A record in Detectron2's format for each image, in order.

    Raises:
        UserError: the json cannot be read, has other classes, or does not know an image.
    """
    try:
        records = load_coco_boxes(json_file, "", name=json_file)
    except OSError as error:
        raise UserError(f'cannot read the annotations "{json_file}": {error.strerror}') from None
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f'the annotations "{json_file}": it {error}') from None
    check_num_classes([json_file], num_classes)
    if repaired := repair_boxes(records, json_file):
        logger.warning('"%s": %s', json_file, repaired)
    known = {record["file_name"]: record for record in records}
    return [record for path in paths for record in _records_of(Path(path), known, json_file)]


def _records_of(path: Path, known: dict[str, dict], json_file: str) -> list[dict[str, Any]]:
    if path.is_dir():
        there = [(name, path / name) for name in known if (path / name).is_file()]
        if not there:
            raise UserError(f'there is no image of "{json_file}" in the folder "{path}"')
    elif path.is_file():
        full = f"/{path.resolve().as_posix()}"
        there = [(name, path) for name in known if full.endswith(f"/{name}")]
        if not there:
            names = [Path(name).name for name in known]
            raise UserError(f'"{json_file}" has no image "{path.name}".{nearest(path.name, names)}')
    else:
        raise UserError(f'there is no image or folder "{path}"')
    return [{**known[name], "file_name": str(file)} for name, file in there]
