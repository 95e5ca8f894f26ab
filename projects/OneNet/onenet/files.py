"""Files and folders that are complete or not there."""

from __future__ import annotations

import glob
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp


@contextmanager
def complete_file(path: str | os.PathLike) -> Iterator[Path]:
    """Write a file that appears under its name when it is complete.

    A program that fails or is killed leaves what was there before. So does a block that writes
    nothing.

    Args:
        path: the file.

    Yields:
        Where to write it: a path in the same folder, with the same suffix.
    """
    path = Path(path)
    partial = path.with_name(f"{path.name}.partial{path.suffix}")
    partial.unlink(missing_ok=True)  # of a program that was killed
    try:
        yield partial
        if partial.exists():
            with partial.open("rb+") as file:
                os.fsync(file.fileno())  # or a power failure may leave the name without content
            partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write a text in UTF-8, complete or not at all."""
    with complete_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


@contextmanager
def complete_folder(path: str | os.PathLike) -> Iterator[Path]:
    """Fill a folder that appears under its name when it is complete, in place of an earlier one.

    A program that fails or is killed leaves what was there before. What a killed one had begun is
    removed by the next, so no two may fill the same folder at a time.

    Args:
        path: the folder; the one it is in must be there.

    Yields:
        The empty folder to fill, beside ``path``.
    """
    path = Path(path)
    prefix = f".{path.name}."
    for stale in path.parent.glob(f"{glob.escape(prefix)}*"):
        shutil.rmtree(stale)
    scratch = Path(mkdtemp(prefix=prefix, dir=path.parent))
    try:
        new = scratch / "new"
        new.mkdir()
        yield new
        if path.exists():
            path.rename(scratch / "outdated")
        new.rename(path)
    finally:
        shutil.rmtree(scratch)
