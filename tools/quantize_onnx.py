#!/usr/bin/env python
r"""Make an exported model compute with 8 bits, and compare it with what it was made of.

tools/quantize_onnx.py --model model.onnx --output model_int8.onnx \
    --dataset digits_train --evaluate digits_val
tools/quantize_onnx.py --model model.onnx --output model_int8.onnx --images street/*.jpg

The images set the ranges of the activations. --evaluate prints AP, size and time of both models.
See docs/deployment.md.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from functools import partial
from statistics import median

import onenet  # noqa: F401  (makes an old Detectron2 importable)

# isort: split
from onenet.benchmark.step import measure_in_turns
from onenet.data import check_datasets_available, load_records
from onenet.engine import exit_on_user_error
from onenet.engine.arguments import at_least, program_parser
from onenet.evaluation import evaluate_predictor
from onenet.export import quantize
from onenet.predict import OnnxPredictor, read_image
from tabulate import tabulate

TIMED, WARMUP = 50, 5  # how often an image is timed


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = program_parser(__doc__)
    parser.add_argument("--model", required=True, metavar="FILE")
    parser.add_argument("--output", required=True, metavar="FILE")
    images = parser.add_mutually_exclusive_group(required=True)
    images.add_argument("--images", nargs="+", metavar="FILE", help="to calibrate on")
    images.add_argument("--dataset", metavar="NAME", help="the same, from a dataset")
    parser.add_argument(
        "--count",
        type=at_least(1),
        default=64,
        metavar="N",
        help="take at most this many (default: 64)",
    )
    parser.add_argument("--evaluate", metavar="NAME", help="the dataset to compare both on")
    return parser.parse_args(argv)


def compare(files: Sequence[str], dataset: str) -> str:
    """A table of AP, size and time of models."""
    predictors = {file: OnnxPredictor(file, threshold=0.0) for file in files}
    image = read_image(load_records(dataset)[0]["file_name"])
    calls = {file: partial(predictor, image) for file, predictor in predictors.items()}
    seconds = measure_in_turns(calls, TIMED, WARMUP)
    rows = []
    for file, predictor in predictors.items():
        results = evaluate_predictor(predictor, dataset)
        rows.append(
            (
                os.path.basename(file),
                f"{results['bbox']['AP']:.1f}",
                f"{results['bbox_nms']['AP']:.1f}",
                f"{os.path.getsize(file) / 1e6:.1f}",
                f"{1000 * median(seconds[file]):.1f}",
            )
        )
    return tabulate(
        rows,
        headers=("model", "AP without NMS", "AP with NMS after top-k", "MB", "ms an image"),
        tablefmt="pipe",
        disable_numparse=True,
        colalign=("left", *["right"] * 4),
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Quantise, and compare if asked to."""
    args = parse_args(argv)
    check_datasets_available([name for name in (args.dataset, args.evaluate) if name])
    images = args.images or [image["file_name"] for image in load_records(args.dataset)]
    images = images[: args.count]
    quantize(args.model, args.output, images)
    print(f"{args.output}: calibrated on {len(images)} images")
    if args.evaluate:
        print(compare([args.model, args.output], args.evaluate))


if __name__ == "__main__":
    with exit_on_user_error():
        main()
