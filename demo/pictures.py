"""Image files for ``demo.py``: find them, and say where their pictures go."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from onenet.errors import UserError
from onenet.predict import read_image
from tqdm import tqdm
from video import Detector, show

IMAGE_SUFFIXES = {".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}


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


def output_files(images: Sequence[Path], output: Path) -> list[Path]:
    """Where the picture of each image goes.

    Args:
        images: the inputs.
        output: a file, if it is named like an image and there is one input; else a folder, in which
            inputs from several folders keep these.

    Raises:
        UserError: pictures would replace their inputs, or several go to one file.
    """
    if output.suffix.lower() in IMAGE_SUFFIXES and not output.is_dir():
        if len(images) > 1:
            raise UserError(f"--output {output}: {len(images)} pictures need a folder.")
        files = [output]
    else:
        root = os.path.commonpath([image.resolve().parent for image in images])
        files = [output / image.resolve().relative_to(root) for image in images]
        files = [f if f.suffix.lower() in IMAGE_SUFFIXES else Path(f"{f}.png") for f in files]
    if {file.resolve() for file in files} & {image.resolve() for image in images}:
        raise UserError(f"--output {output}: the pictures would replace their inputs.")
    return files


def process_images(images: Sequence[Path], detect: Detector, files: Sequence[Path]) -> list[str]:
    """Give each image to ``detect``, and its picture to a file or a window.

    Args:
        images: the inputs.
        detect: image, name -> picture, or None where none is wanted.
        files: of the pictures; empty for a window.

    Returns:
        What is wrong with those that could not be read; the others are done.
    """
    failures = []
    for index, path in enumerate(tqdm(images, unit="image")):
        try:
            image = read_image(path)
        except UserError as error:
            failures.append(str(error))
            continue
        picture = detect(image, str(path))
        if picture is None:
            continue
        if files:
            write_picture(picture, files[index])
        elif not show(picture, wait=True):
            break
    return failures


def write_picture(picture: np.ndarray, file: Path) -> None:
    """Write a BGR picture in the format that the name says."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(cv2.imencode(file.suffix, picture)[1].tobytes())
