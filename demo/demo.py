#!/usr/bin/env python
r"""Detect objects in images, videos or the pictures of a camera, and draw them.

demo/demo.py --model model.onnx --input 'scenes/*.png' --output found
demo/demo.py --model model.onnx --video-input street.mp4 --output results.json
demo/demo.py --model model.onnx --input forest.tif --tile 400 --overlap 100 --output trees.json
demo/demo.py --config-file output/digits/config.yaml --input 'scenes/*.png' --output found \
    --opts MODEL.WEIGHTS output/digits/model_final.pth
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import onenet  # noqa: F401  (makes an old Detectron2 importable)

# isort: split
from assigners import add_assigners_config
from detect import CocoResults, Painter
from detectron2.utils.logger import setup_logger
from onenet.engine import check_weights, exit_on_user_error, setup_cfg
from onenet.engine.arguments import at_least, program_parser
from onenet.errors import UserError
from onenet.image_stream import open_large_image
from onenet.images import read_image
from onenet.predict import BasePredictor, OnnxPredictor, Predictor, TiledPredictor
from onenet.tiles import TileGrid
from outputs import make_folder, picture_files
from pictures import list_images, process_images
from tqdm import tqdm
from video import process_video, require_display

RESULTS_SUFFIX = ".json"


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = program_parser(__doc__)
    detector = parser.add_mutually_exclusive_group(required=True)
    detector.add_argument("--config-file", metavar="FILE", help="of a checkpoint")
    detector.add_argument("--model", metavar="FILE", help="of tools/export_onnx.py")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--input", nargs="+", metavar="PATH", help="images, folders or globs")
    source.add_argument("--video-input", metavar="FILE", help="a video")
    source.add_argument("--webcam", action="store_true", help="the first camera")
    parser.add_argument(
        "--output", type=Path, help="folder, file or COCO results (.json); without it, a window"
    )
    parser.add_argument(
        "--confidence-threshold", type=fraction, default=0.4, metavar="SCORE", help="default: 0.4"
    )
    parser.add_argument("--scale", type=positive, default=1.0, help="enlargement, default: 1")
    parser.add_argument(
        "--compare-nms", type=fraction, metavar="IOU", help="beside it, what NMS would leave"
    )
    parser.add_argument(
        "--tile", type=at_least(1), metavar="PIXELS", help="detect in square tiles of this side"
    )
    parser.add_argument(
        "--overlap",
        type=at_least(0),
        metavar="PIXELS",
        help=f"what they share at least; larger than any object; default: {TileGrid.overlap}",
    )
    parser.add_argument(
        "--providers", nargs="+", metavar="NAME", help="of onnxruntime, default: the CPU's"
    )
    parser.add_argument(
        "--opts", nargs=argparse.REMAINDER, default=[], metavar="KEY VALUE", help="config overrides"
    )
    return parser.parse_args(argv)


def fraction(text: str) -> float:
    """The type of an argument from 0 to 1."""
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value


def positive(text: str) -> float:
    """The type of an argument above 0."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def is_results_file(output: Path) -> bool:
    """Whether to write COCO results, and no pictures."""
    return output.suffix == RESULTS_SUFFIX and not output.is_dir()


def build_predictor(args: argparse.Namespace) -> BasePredictor:
    """The predictor of a model file, or of a config with its weights, for tiles if asked for.

    Raises:
        UserError: there is none, or nothing that it can be built of, or no such tiles can be.
    """
    if args.tile is None:
        if args.overlap is not None:
            raise UserError("--overlap: it is of tiles; say --tile, too.")
        return build_image_predictor(args)
    overlap = TileGrid.overlap if args.overlap is None else args.overlap
    grid = TileGrid(args.tile, overlap)
    bar = partial(tqdm, desc="tiles", unit="tile", leave=False, delay=1)
    return TiledPredictor(build_image_predictor(args), grid, bar)


def build_image_predictor(args: argparse.Namespace) -> BasePredictor:
    """The one that takes an image as a whole; see :func:`build_predictor`."""
    threshold = args.confidence_threshold
    if args.model:
        if args.opts:
            raise UserError("--opts: an exported model has no config; leave it out.")
        chosen = {"providers": args.providers} if args.providers else {}
        return OnnxPredictor(args.model, threshold=threshold, **chosen)
    if args.providers:
        raise UserError("--providers: they run an exported model; leave it out.")
    cfg = setup_cfg(args.config_file, args.opts, add_configs=[add_assigners_config])
    check_weights(cfg, need_detector=True)
    return Predictor(cfg, threshold=threshold)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program.

    Returns:
        Exit code: 1 if some input could not be used, which then has been named.
    """
    args = parse_args(argv)
    setup_logger(name="onenet")
    as_results = args.output is not None and is_results_file(args.output)
    if as_results and args.compare_nms is not None:
        raise UserError("--compare-nms: it draws pictures, and a .json has none; leave it out.")
    if args.output is None:
        require_display()
    images, failures = list_images(args.input or ())
    if args.input and not images:
        raise UserError(failures[0])
    predictor = build_predictor(args)
    if as_results:
        make_folder(args.output.parent)
        detect = CocoResults(predictor)
    else:
        detect = Painter(predictor, args.scale, args.compare_nms)
    if args.input:
        files = picture_files(images, args.output) if args.output and not as_results else []
        failures += process_images(
            images, detect, files, open_large_image if args.tile else read_image
        )
    else:
        failures += process_video(args.video_input, detect, None if as_results else args.output)
    if as_results:
        detect.write(args.output)
    for failure in failures:
        print(f"error: {failure}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    with exit_on_user_error():
        sys.exit(main())
