#!/usr/bin/env python
"""Time training, evaluation and the data loader, and each stage of a detection.

tools/benchmark.py --config-file configs/onenet_R50.yaml --task train,eval,data
tools/benchmark.py --config-file configs/onenet_R50.yaml --task train,eval --size 512 853
tools/benchmark.py --config-file configs/onenet_R50.yaml --task stages --batch 1 8

The second form takes random images of that size, so that it needs no data. A training step has
SOLVER.IMS_PER_BATCH images, one of evaluation a single image. "stages" takes random images and
weights, the square of INPUT.MIN_SIZE_TEST where no size is given, and runs in PyTorch and in
onnxruntime, on the CPU and on a GPU where there is one.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

import onenet  # noqa: F401  (makes an old Detectron2 importable)

# isort: split
from assigners import add_assigners_config
from detectron2.config import CfgNode
from detectron2.utils.logger import setup_logger
from onenet.benchmark import step
from onenet.benchmark.detection import RUNTIMES, report_stages, time_stages
from onenet.benchmark.step import Timing, measure
from onenet.data import check_datasets_available
from onenet.engine import exit_on_user_error, setup_cfg
from onenet.engine.arguments import add_opts, at_least, program_parser
from onenet.errors import nearest

TASKS = ("train", "eval", "data", "stages")
CACHED_BATCHES = 20  # as many as are read before the clock runs


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = program_parser(__doc__)
    parser.add_argument("--config-file", required=True, metavar="FILE")
    parser.add_argument(
        "--task", type=tasks, required=True, metavar="TASKS", help=f"some of {','.join(TASKS)}"
    )
    parser.add_argument("--size", nargs=2, type=at_least(1), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument(
        "--iterations", type=at_least(1), default=50, metavar="N", help="default: 50"
    )
    parser.add_argument("--warmup", type=at_least(0), default=5, metavar="N", help="default: 5")
    parser.add_argument(
        "--batch",
        nargs="+",
        type=at_least(1),
        default=[1, 8],
        metavar="N",
        help="of stages, default: 1 8",
    )
    parser.add_argument(
        "--runtime", nargs="+", choices=RUNTIMES, default=RUNTIMES, help="of stages, default: both"
    )
    parser.add_argument(
        "--cpu-time", action="store_true", help="of stages on the CPU: leaves out other programs"
    )
    add_opts(parser)
    return parser.parse_args(argv)


def tasks(text: str) -> list[str]:
    """Names separated by commas."""
    names = text.split(",")
    unknown = [name for name in names if name not in TASKS]
    if unknown:
        raise argparse.ArgumentTypeError(
            f'unknown task "{unknown[0]}".{nearest(unknown[0], TASKS)}'
        )
    return names


def run(task: str, cfg: CfgNode, args: argparse.Namespace) -> Timing:
    """Time one task."""
    images = 1 if task == "eval" else cfg.SOLVER.IMS_PER_BATCH
    if task == "data":
        iteration = step.data_task(cfg)
    else:
        batches = load_batches(task, cfg, images, args.size)
        build = step.train_task if task == "train" else step.eval_task
        iteration = build(cfg, batches)
    return measure(task, iteration, images, args.iterations, args.warmup)


def load_batches(
    task: str, cfg: CfgNode, images: int, size: tuple[int, int] | None
) -> list[step.Batch]:
    """Batches for a task, in memory."""
    if size:
        return step.random_batches(cfg, images, tuple(size))
    load = step.training_batches if task == "train" else step.test_batches
    return load(cfg, CACHED_BATCHES)


def check_data(cfg: CfgNode, args: argparse.Namespace) -> None:
    """Look for the datasets that will be read."""
    for task in args.task:
        if task == "data" or (task != "stages" and not args.size):
            names = cfg.DATASETS.TEST if task == "eval" else cfg.DATASETS.TRAIN
            check_datasets_available(names)


def main(argv: Sequence[str] | None = None) -> None:
    """Time every task and print the tables."""
    args = parse_args(argv)
    setup_logger(name="onenet")
    cfg = setup_cfg(args.config_file, args.opts, add_configs=[add_assigners_config])
    check_data(cfg, args)
    timings = [run(task, cfg, args) for task in args.task if task != "stages"]
    if timings:
        print(step.report(timings))
    if "stages" in args.task:
        size = args.size or [cfg.INPUT.MIN_SIZE_TEST] * 2
        clock = time.process_time if args.cpu_time else None
        rows = time_stages(cfg, size, args.batch, args.runtime, args.iterations, args.warmup, clock)
        print(report_stages(rows))


if __name__ == "__main__":
    with exit_on_user_error():
        main()
