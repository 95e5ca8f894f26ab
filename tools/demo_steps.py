"""What the demos share: they say what goes on, can be interrupted, and do nothing twice."""

from __future__ import annotations

import math
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import onenet  # noqa: F401  (makes an old Detectron2 importable)

# isort: split
from detectron2.config import CfgNode
from onenet.engine import (
    config_differences,
    exit_on_user_error,
    final_results,
    read_metrics,
    set_aside,
    training_seconds,
)

ROOT = Path(__file__).resolve().parents[1]
MAX_LISTED = 5  # differences between configs
INTERRUPTED = 130  # exit code after Ctrl-C, as shells have it


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


def train(
    step: str, config_file: str, opts: Sequence[str], cfg: CfgNode, step_seconds: float
) -> Mapping[str, float]:
    """Train and evaluate in a process of its own, unless that is done.

    Args:
        step: of the demo, for the messages, such as "2/3".
        config_file, opts: for train_net.py.
        cfg: what they make.
        step_seconds: of a training step on 2 cores, for an estimate.

    Returns:
        The metrics of the evaluation at the end.

    Raises:
        SystemExit: the process failed, and has said why.
    """
    results = final_results(read_metrics(cfg.OUTPUT_DIR), cfg.SOLVER.MAX_ITER)
    if results:
        say(f"{step} Trained and evaluated already. To start over: rm -r {cfg.OUTPUT_DIR}")
        return results
    checkpoint = Path(cfg.OUTPUT_DIR, "last_checkpoint")
    start = f", from {checkpoint.read_text()} on" if checkpoint.exists() else ""
    minutes = math.ceil(cfg.SOLVER.MAX_ITER * step_seconds / 60)
    say(
        f"{step} Training for {cfg.SOLVER.MAX_ITER} iterations{start}, with evaluations in between "
        f"and at the end; all of it takes about {minutes} min on 2 cores."
    )
    script = os.path.relpath(ROOT / "train_net.py")
    arguments = [script, "--config-file", config_file, "--resume", *opts]
    print(shlex.join(["python", *arguments]), flush=True)
    code = subprocess.run([sys.executable, *arguments]).returncode
    if code:
        sys.exit(code)
    return final_results(read_metrics(cfg.OUTPUT_DIR), cfg.SOLVER.MAX_ITER)


def training_time(cfg: CfgNode) -> str:
    """Of all the steps of a run, without evaluations."""
    seconds = round(training_seconds(read_metrics(cfg.OUTPUT_DIR)))
    return f"{seconds // 60} min {seconds % 60:02d} s"


def finish(summary: Path, text: str, pictures: Sequence[Path]) -> None:
    """Write the summary, show it, and name the pictures."""
    summary.write_text(text, encoding="utf-8")
    say(f"Done. This is {summary}:")
    print(text)
    print("Look at", *pictures, sep="\n  ")


def run_to_exit(main: Callable[[], None]) -> None:
    """Run a demo as a program: mistakes and interruptions end it with one line."""
    with exit_on_user_error():
        try:
            main()
        except KeyboardInterrupt:
            say("Interrupted. Run it again to go on.")
            sys.exit(INTERRUPTED)
