"""Files that are complete or not there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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
