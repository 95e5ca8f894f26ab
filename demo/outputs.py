"""Where the results of ``demo.py`` go; what cannot be written is said before any work is done."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from onenet.errors import UserError

IMAGE_SUFFIXES = {".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}


def picture_files(images: Sequence[Path], output: Path) -> list[Path]:
    """Where the picture of each image goes.

    Args:
        images: the inputs.
        output: a file, if it is named like an image and there is one input; else a folder, in which
            inputs from several folders keep these.

    Raises:
        UserError: pictures would replace their inputs, or several go to one file, or there can be
            no such folder.
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
    for folder in {file.parent for file in files}:
        make_folder(folder)
    return files


def make_folder(folder: Path) -> None:
    """Make a folder, unless it is there.

    Raises:
        UserError: it cannot be made, or nothing can be written into it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--output: no folder {folder} can be made ({error.strerror})") from None
    if not os.access(folder, os.W_OK):
        raise UserError(f"--output: the folder {folder} may not be written to")


def write_picture(picture: np.ndarray, file: Path) -> None:
    """Write a BGR picture in the format that the name says.

    Raises:
        UserError: it cannot be written.
    """
    try:
        file.write_bytes(cv2.imencode(file.suffix, picture)[1].tobytes())
    except cv2.error as error:  # more pixels than the format admits
        raise UserError(f"{file}: {error.err}") from None
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}") from None
