#!/usr/bin/env python
"""Train OneNet on the embedded digits, evaluate it and draw what it learned (``make demo``).

It can be interrupted and run again: it goes on where it was, and does nothing twice.

tools/run_demo.py
tools/run_demo.py SOLVER.MAX_ITER 5000 OUTPUT_DIR output/digits_long
"""

from __future__ import annotations

import argparse
import math
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import onenet  # noqa: F401  (makes an old Detectron2 importable)

# isort: split
from assigners import add_assigners_config
from detectron2.config import CfgNode
from onenet.data import check_datasets_available
from onenet.engine import (
    config_differences,
    exit_on_user_error,
    final_results,
    read_metrics,
    set_aside,
    setup_cfg,
    training_seconds,
)
from onenet.engine.arguments import add_opts, program_parser
from onenet.visualization import draw_gallery, gallery_files
from tabulate import tabulate

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / "configs" / "digits" / "onenet_R18_digits.yaml"
RECOMMENDED = CONFIG.with_name("onenet_R18_digits_selector.yaml")  # without NMS
SUMMARY = "summary.md"
STEP_SECONDS = 0.21  # of the digits config on 2 cores, for an estimate
MAX_LISTED = 5  # differences between configs
INTERRUPTED = 130  # exit code after Ctrl-C, as shells have it


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


def say(text: str) -> None:
    """Tell the user what goes on, above the output of what follows."""
    bold, normal = ("\033[1m", "\033[0m") if sys.stdout.isatty() else ("", "")
    print(f"\n{bold}[demo] {text}{normal}", flush=True)


def free_output_folder(cfg: CfgNode) -> None:
    """Put the run in the output folder aside if it is not the one that is asked for."""
    differences = config_differences(cfg, cfg.OUTPUT_DIR)
    if not differences:
        return
    aside = set_aside(cfg.OUTPUT_DIR)
    say(f"{cfg.OUTPUT_DIR} held a run with another config, which is now {aside}: starting anew.")
    print("\n".join(differences[:MAX_LISTED]))
    if len(differences) > MAX_LISTED:
        print(f"... and {len(differences) - MAX_LISTED} more")


def train(args: argparse.Namespace, cfg: CfgNode) -> Mapping[str, float]:
    """Train and evaluate in a process of its own, unless that is done.

    Returns:
        The metrics of the evaluation at the end.

    Raises:
        SystemExit: the process failed, and has said why.
    """
    results = final_results(read_metrics(cfg.OUTPUT_DIR), cfg.SOLVER.MAX_ITER)
    if results:
        say(f"2/3 Trained and evaluated already. To start over: rm -r {cfg.OUTPUT_DIR}")
        return results
    checkpoint = Path(cfg.OUTPUT_DIR, "last_checkpoint")
    start = f", from {checkpoint.read_text()} on" if checkpoint.exists() else ""
    minutes = math.ceil(cfg.SOLVER.MAX_ITER * STEP_SECONDS / 60)
    say(
        f"2/3 Training for {cfg.SOLVER.MAX_ITER} iterations{start}, with evaluations in between "
        f"and at the end; all of it takes about {minutes} min on 2 cores."
    )
    script = os.path.relpath(ROOT / "train_net.py")
    arguments = [script, "--config-file", args.config_file, "--resume", *args.opts]
    print(shlex.join(["python", *arguments]), flush=True)
    code = subprocess.run([sys.executable, *arguments]).returncode
    if code:
        sys.exit(code)
    return final_results(read_metrics(cfg.OUTPUT_DIR), cfg.SOLVER.MAX_ITER)


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
    seconds = round(training_seconds(read_metrics(cfg.OUTPUT_DIR)))
    row = {
        "AP without NMS": f"{results['bbox/AP']:.1f}",
        "AP with NMS": f"{results['bbox_nms/AP']:.1f}",
        "NMS gap": f"{results['nms_diagnosis/nms_gap']:+.1f}",
        "detections per found object": f"{results['nms_diagnosis/duplicates']:.2f}",
        "score gap": f"{results['nms_diagnosis/score_gap']:.2f}",
        "training": f"{seconds // 60} min {seconds % 60:02d} s",
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
    results = train(args, cfg)
    pictures = draw(cfg)
    summary = Path(cfg.OUTPUT_DIR, SUMMARY)
    summary.write_text(summarize(cfg, args.config_file, results), encoding="utf-8")
    say(f"Done. This is {summary}:")
    print(summary.read_text(encoding="utf-8"))
    print("Look at", *pictures, sep="\n  ")


if __name__ == "__main__":
    with exit_on_user_error():
        try:
            main()
        except KeyboardInterrupt:
            say("Interrupted. Run it again to go on.")
            sys.exit(INTERRUPTED)
