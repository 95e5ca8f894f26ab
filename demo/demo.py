#!/usr/bin/env python
"""Detect objects in images, videos or the pictures of a camera, and draw them.

demo/demo.py --config-file output/digits/config.yaml --input 'scenes/*.png' --output found \
    --opts MODEL.WEIGHTS output/digits/model_final.pth
"""

from __future__ import annotations

import argparse
import glob
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import onenet  # noqa: F401  (makes an old Detectron2 importable)

# isort: split
from assigners import add_assigners_config
from detectron2.config import CfgNode
from detectron2.data.detection_utils import read_image
from detectron2.engine import DefaultPredictor
from onenet.data import class_names
from onenet.engine import check_weights, exit_on_user_error, setup_cfg
from onenet.errors import UserError
from onenet.visualization import draw_detections
from PIL import Image
from tqdm import tqdm
from video import Detector, process_video, require_display, show

IMAGE_SUFFIXES = {".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
# What Pillow and Detectron2 raise on a file that is no image, or only a part of one.
UNREADABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config-file", required=True, metavar="FILE")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--input", nargs="+", metavar="PATH", help="images, folders or globs")
    source.add_argument("--video-input", metavar="FILE", help="a video")
    source.add_argument("--webcam", action="store_true", help="the first camera")
    parser.add_argument("--output", type=Path, help="folder or file; without it, a window")
    parser.add_argument(
        "--confidence-threshold", type=float, default=0.4, metavar="SCORE", help="default: 0.4"
    )
    parser.add_argument("--scale", type=float, default=1.0, help="enlargement, default: 1")
    parser.add_argument(
        "--opts", nargs=argparse.REMAINDER, default=[], metavar="KEY VALUE", help="config overrides"
    )
    return parser.parse_args(argv)


def build_detector(cfg: CfgNode, threshold: float, scale: float) -> Detector:
    """A function that finds and draws objects.

    Args:
        cfg: the config with its weights.
        threshold: detections of a lower score are not drawn.
        scale: enlargement of the picture.

    Raises:
        UserError: there are no weights of a whole detector.
    """
    if not cfg.MODEL.WEIGHTS or "ImageNetPretrained" in cfg.MODEL.WEIGHTS:
        raise UserError(
            f'MODEL.WEIGHTS "{cfg.MODEL.WEIGHTS}" is no trained detector; end the command with '
            "--opts MODEL.WEIGHTS model.pth"
        )
    check_weights(cfg)
    predictor = DefaultPredictor(cfg)
    names = label_names(cfg)

    def detect(image: np.ndarray) -> np.ndarray:
        found = predictor(image)["instances"].to("cpu")
        found = found[found.scores >= threshold]
        picture = draw_detections(image[..., ::-1], found, names, scale)
        return cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)

    return detect


def label_names(cfg: CfgNode) -> list[str]:
    """What the test dataset calls its classes, else their numbers."""
    numbers = [str(number) for number in range(cfg.MODEL.OneNet.NUM_CLASSES)]
    try:
        names = class_names(cfg.DATASETS.TEST[0]) if cfg.DATASETS.TEST else None
    except UserError:  # it is not on this machine, and the names are all that is wanted of it
        names = None
    return names if names and len(names) == len(numbers) else numbers


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


def read_bgr(path: Path) -> np.ndarray:
    """Read an image (H, W, 3) uint8, upright, in the channel order that predictors take."""
    with Image.open(path) as image:
        image.verify()  # a broken PNG may otherwise be read as black, without an error
    return read_image(str(path), "BGR")


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


def process_images(images: Sequence[Path], detect: Detector, output: Path | None) -> list[str]:
    """Draw the detections of each image into a file or a window.

    Returns:
        What is wrong with those that could not be read; the others are done.
    """
    files = output_files(images, output) if output else [None] * len(images)
    failures = []
    for path, file in zip(tqdm(images, unit="image"), files, strict=True):
        try:
            image = read_bgr(path)
        except UNREADABLE as error:
            failures.append(f"{path}: {error}")
            continue
        picture = detect(image)
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(cv2.imencode(file.suffix, picture)[1].tobytes())
        elif not show(picture, wait=True):
            break
    return failures


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program.

    Returns:
        Exit code: 1 if some input could not be used, which then has been named.
    """
    args = parse_args(argv)
    if args.output is None:
        require_display()
    cfg = setup_cfg(args.config_file, args.opts, add_configs=[add_assigners_config])
    images, failures = list_images(args.input or ())
    if args.input and not images:
        raise UserError(failures[0])
    detect = build_detector(cfg, args.confidence_threshold, args.scale)
    if args.input:
        failures += process_images(images, detect, args.output)
    else:
        failures += process_video(args.video_input, detect, args.output)
    for failure in failures:
        print(f"error: {failure}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    with exit_on_user_error():
        sys.exit(main())
