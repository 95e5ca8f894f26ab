"""Datasets that this package makes itself: once, atomically, and again in a newer version."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

from iopath.common.file_io import file_lock

from ..errors import UserError
from ..files import complete_folder

logger = logging.getLogger(__name__)

STAMP = "generator.txt"


def datasets_root() -> Path:
    """Where Detectron2 looks for datasets: ``$DETECTRON2_DATASETS``, else ``datasets``."""
    return Path(os.getenv("DETECTRON2_DATASETS", "datasets")).expanduser()


def ensure_made(target: Path, stamp: str, write: Callable[[Path], None]) -> Path:
    """Make a dataset unless an up-to-date one is there.

    Any number of processes may call this at the same time: one makes the data, the others wait
    for it. A process that is killed leaves the dataset as it was, and its scratch folder is
    removed by the next call.

    Args:
        target: folder of the dataset, called as the dataset is.
        stamp: changes with what would be made; stored beside the data.
        write: fills an empty folder.

    Returns:
        ``target``.

    Raises:
        UserError: its parent cannot be written, or ``target`` holds data of somebody else.
    """
    if _is_current(target, stamp):
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with file_lock(str(target)):
            if not _is_current(target, stamp):
                _remake(target, stamp, write)
    except OSError as error:
        raise UserError(
            f'cannot make the dataset "{target.name}" in "{target.parent}": {error}; '
            "set DETECTRON2_DATASETS to a folder that can be written"
        ) from error
    return target


def _is_current(target: Path, stamp: str) -> bool:
    try:
        return (target / STAMP).read_text() == stamp
    except OSError:  # nothing there, or nothing that can be read
        return False


def _remake(target: Path, stamp: str, write: Callable[[Path], None]) -> None:
    """The caller holds the lock."""
    if target.exists() and not (target / STAMP).exists():
        raise UserError(
            f'"{target}" is in the way of the dataset "{target.name}" and was not made by this '
            "program: move it, or set DETECTRON2_DATASETS to another folder"
        )
    logger.info("Making the dataset %s in %s (once, less than a minute).", target.name, target)
    with complete_folder(target) as new:
        write(new)
        (new / STAMP).write_text(stamp)
