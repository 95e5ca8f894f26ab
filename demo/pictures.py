"""Image files for ``demo.py``: find them, and give each to the detector."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from onenet.errors import UserError
from onenet.image_stream import ImageStream
from outputs import IMAGE_SUFFIXES, write_picture
from tqdm import tqdm
from video import Detector, show


def list_images(patterns: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Resolve files, folders and globs.

    Returns:
        The images in order, each once, and what was not there.
    """
    images, missing = {}, []
    for pattern in patterns:
        found = [pattern] if os.path.exists(pattern) else sorted(glob.glob(pattern, recursive=True))
        files = [file for path in map(Path, found) for file in _images_in(path)]
        if not files:
            missing.append(f"{pattern}: no image there")
        images.update(dict.fromkeys(files))
    return list(images), missing


def _images_in(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    return sorted(file for file in path.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES)


def process_images(
    images: Sequence[Path],
    detect: Detector,
    files: Sequence[Path],
    read: Callable[[Path], np.ndarray | ImageStream],
) -> list[str]:
    """Give each image to ``detect``, and its picture to a file or a window.

    Args:
        images: the inputs.
        detect: image, its place, its name -> picture, or None where none is wanted.
        files: of the pictures; empty for a window.
        read: gives the image of a path.

    Returns:
        What is wrong with those that could not be read, or their pictures not written; the others
        are done.
    """
    failures = []
    for index, path in enumerate(tqdm(images, unit="image")):
        try:
            picture = detect(read(path), index, str(path))
            if picture is not None and files:
                write_picture(picture, files[index])
        except UserError as error:
            failures.append(str(error))
            continue
        if picture is not None and not files and not show(picture, wait=True):
            break
    return failures
