"""Whether the image files of a dataset are there."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from ..errors import UserError


def check_pictures(records: Sequence[dict[str, Any]], name: str) -> None:
    """Look for every image, by listing each folder once instead of asking for each file.

    A file on another machine ("https://...") is not looked for.

    Args:
        records: in Detectron2's format.
        name: of the dataset, for the message.

    Raises:
        UserError: how many are missing, and the first of them.
    """
    listed: dict[str, set[str]] = {}
    missing = []
    for record in records:
        path = os.fspath(record["file_name"])
        folder, file_name = os.path.split(path)
        if folder not in listed:
            listed[folder] = _files_of(folder)
        # The names on the disk may be spelt in another way, in capitals or in accents.
        if file_name not in listed[folder] and "://" not in path and not os.path.isfile(path):
            missing.append(path)
    if missing:
        raise UserError(
            f'dataset "{name}": {len(missing)} of {len(records)} images are missing, the first is '
            f'"{missing[0]}"; restore them, or remove them from the annotations'
        )


def _files_of(folder: str) -> set[str]:
    try:
        with os.scandir(folder or ".") as entries:
            return {entry.name for entry in entries if entry.is_file()}
    except OSError:  # no folder, or one that only its files can be asked of
        return set()
