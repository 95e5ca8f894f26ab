"""How many training steps the arms of an experiment have in the same time.

    python benchmarks/rules.py ablations/rules.yaml --steps 350

A step of each arm in turns, on the same batches of its dataset; processor time, one thread.
"""

from __future__ import annotations

import argparse
import time
from statistics import median

import onenet  # noqa: F401  (makes older Detectron2 versions importable)

# isort: split
import torch
from assigners import add_assigners_config
from lab.experiment_file import read_experiment
from onenet.benchmark.step import measure_in_turns, train_task, training_batches
from onenet.engine import setup_cfg

BATCHES = 10


def main() -> None:
    """Measure and print a line for each arm."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("experiment")
    parser.add_argument("--steps", type=int, default=350, help="of the baseline")
    parser.add_argument("--rounds", type=int, default=10)
    args = parser.parse_args()
    torch.set_num_threads(1)
    experiment = read_experiment(args.experiment)
    configs = {}
    for arm in experiment.arms:
        opts = [text for pair in arm.opts.items() for text in pair]
        configs[arm.label] = setup_cfg(arm.config_file, opts, add_configs=[add_assigners_config])
    batches = training_batches(configs[experiment.baseline], BATCHES)
    tasks = {label: train_task(cfg, batches) for label, cfg in configs.items()}
    times = measure_in_turns(tasks, args.rounds, 2, time.process_time)
    baseline = median(times[experiment.baseline])
    for label, seconds in times.items():
        ratio = median(seconds) / baseline
        print(f"{label:30s} {median(seconds):7.3f} s {ratio:6.2f} {args.steps / ratio:6.0f} steps")


if __name__ == "__main__":
    main()
