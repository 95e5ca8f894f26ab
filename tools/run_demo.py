#!/usr/bin/env python
"""Train OneNet on the embedded digits, evaluate it and draw what it learned (``make demo``).

It can be interrupted and run again: it goes on where it was, and does nothing twice.

tools/run_demo.py
tools/run_demo.py SOLVER.MAX_ITER 5000 OUTPUT_DIR output/digits_long
"""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

import onenet  # noqa: F401  (makes an old Detectron2 importable)

# isort: split
from assigners import add_assigners_config
from demo_steps import (
    ROOT,
    finish,
    free_output_folder,
    run_to_exit,
    say,
    train,
    training_time,
)
from detectron2.config import CfgNode
from onenet.data import check_datasets_available
from onenet.engine import setup_cfg
from onenet.engine.arguments import add_opts, program_parser
from onenet.visualization import draw_gallery, gallery_files
from tabulate import tabulate

CONFIG = ROOT / "configs" / "digits" / "onenet_R18_digits.yaml"
RECOMMENDED = CONFIG.with_name("onenet_R18_digits_selector.yaml")  # without NMS
SUMMARY = "summary.md"
STEP_SECONDS = 0.21  # of the digits config on 2 cores, for an estimate


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = program_parser(__doc__)
    parser.add_argument(
        "--config-file",
        default=os.path.relpath(CONFIG),
        metavar="FILE",
        help="default: %(default)s",
    )
    add_opts(parser)
    return parser.parse_args(argv)


def draw(cfg: CfgNode) -> list[Path]:
    """Draw the pictures, unless they are there."""
    metrics = Path(cfg.OUTPUT_DIR, "metrics.json").stat().st_mtime
    files = gallery_files(cfg.OUTPUT_DIR)
    if all(file.exists() and file.stat().st_mtime >= metrics for file in files):
        say("3/3 The pictures are there.")
        return files
    say("3/3 Drawing pictures, about 20 seconds.")
    return draw_gallery(cfg)


def summarize(cfg: CfgNode, config_file: str, results: Mapping[str, float]) -> str:
    """The outcome as Markdown."""
    row = {
        "AP without NMS": f"{results['bbox/AP']:.1f}",
        "AP with NMS": f"{results['bbox_nms/AP']:.1f}",
        "NMS gap": f"{results['nms_diagnosis/nms_gap']:+.1f}",
        "detections per found object": f"{results['nms_diagnosis/duplicates']:.2f}",
        "score gap": f"{results['nms_diagnosis/score_gap']:.2f}",
        "training": training_time(cfg),
    }
    table = tabulate([row], headers="keys", tablefmt="pipe", disable_numparse=True)
    summary = (
        f"# {config_file}, {cfg.SOLVER.MAX_ITER} iterations, {cfg.DATASETS.TEST[0]}\n\n{table}\n\n"
        "The columns are defined in docs/evaluation.md; training is the sum of the steps alone.\n"
    )
    if cfg.MODEL.OneNet.SELECTOR.ENABLED:
        return summary
    command = ["python", os.path.relpath(__file__), "--config-file", os.path.relpath(RECOMMENDED)]
    return (
        f"{summary}\nTo detect more without NMS, after as many steps (docs/nms-free.md):\n\n"
        f"    {shlex.join(command)}\n"
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Do what is not done yet."""
    args = parse_args(argv)
    cfg = setup_cfg(args.config_file, args.opts, add_configs=[add_assigners_config])
    free_output_folder(cfg)
    say("1/3 Data: scenes of handwritten digits, about 20 seconds if they are not there yet.")
    check_datasets_available([*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST])
    results = train("2/3", args.config_file, args.opts, cfg, STEP_SECONDS)
    pictures = draw(cfg)
    finish(Path(cfg.OUTPUT_DIR, SUMMARY), summarize(cfg, args.config_file, results), pictures)


if __name__ == "__main__":
    run_to_exit(main)
