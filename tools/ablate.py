#!/usr/bin/env python
r"""Train configs that differ in some keys, each with several seeds, and report on what differs.

tools/ablate.py --config-file configs/digits/onenet_R18_digits.yaml --seeds 3 \
    --vary MODEL.OneNet.ASSIGNER.NAME=MinCost,FCOS,ATSS SOLVER.MAX_ITER 500
tools/ablate.py --experiment ablations/digits.yaml --jobs 2

It can be interrupted and run again: it goes on where it was, and trains nothing twice. A run that
fails is reported and the others go on. See docs/ablation-lab.md.
"""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import onenet  # noqa: F401  (makes an old Detectron2 importable)

# isort: split
from assigners import add_assigners_config
from detectron2.utils.logger import setup_logger
from lab import Experiment, Laboratory, grid, parse_vary, read_experiment, seeds_of
from lab.cluster import Slurm
from lab.results import FINISHED
from onenet.engine import exit_on_user_error, setup_cfg
from onenet.engine.arguments import add_opts, at_least, program_parser
from onenet.errors import ConfigError

TRAIN_NET = Path(__file__).resolve().parents[1] / "train_net.py"
INTERRUPTED = 130  # exit code after Ctrl-C, as shells have it


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = program_parser(__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--config-file", metavar="FILE", help="of every arm, with --vary")
    what.add_argument("--experiment", metavar="FILE", help="an experiment file")
    parser.add_argument(
        "--vary", action="append", default=[], metavar="KEY=V1,V2,...",
        help="a config key and its values; of several, every combination",
    )  # fmt: skip
    parser.add_argument(
        "--list", action="store_true",
        help="of several --vary not every combination, but the first values, the second ones, ...",
    )  # fmt: skip
    parser.add_argument("--seeds", metavar="N | S1,S2,...", help="number of seeds, or the seeds")
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="default: output/ablation/NAME of the file"
    )
    parser.add_argument(
        "--jobs", type=at_least(1), metavar="N",
        help="runs at a time; default: one for each GPU, or one on the CPU; all on a cluster",
    )  # fmt: skip
    parser.add_argument("--cluster", choices=["slurm"], help="train each run as a job of a cluster")
    parser.add_argument(
        "--cluster-options", nargs="+", default=[], metavar="NAME=VALUE",
        help="of the jobs, by submitit's names: partition=gpu gpus_per_node=8 timeout_min=600",
    )  # fmt: skip
    parser.add_argument("--dry-run", action="store_true", help="check everything and list the runs")
    parser.add_argument(
        "--report-only", action="store_true", help="report on what is there, without training"
    )
    add_opts(parser, nargs="*")
    return parser.parse_intermixed_args(argv)


def read_arguments(args: argparse.Namespace) -> Experiment:
    """The experiment that a command line asks for."""
    if len(args.opts) % 2:
        raise ConfigError(f'"{args.opts[-1]}" has no value: KEY VALUE pairs override the config.')
    opts = dict(zip(args.opts[::2], args.opts[1::2], strict=True))
    seeds = read_seeds(args.seeds) if args.seeds else None
    if args.experiment:
        if args.vary:
            raise ConfigError("--vary goes with --config-file; in an experiment file it is grid.")
        return read_experiment(args.experiment, seeds=seeds, opts=opts)
    if not args.vary:
        raise ConfigError("nothing is varied: add --vary KEY=V1,V2,...")
    varied = [parse_vary(text) for text in args.vary]
    values = dict(varied)
    if len(values) < len(varied):
        raise ConfigError(f"--vary names a key twice: {', '.join(key for key, _ in varied)}.")
    for key in values.keys() & opts.keys():
        raise ConfigError(f"{key} is varied, and set to {opts[key]} for all: leave one out.")
    arms = grid(args.config_file, values, opts, together=args.list)
    title = f"{Path(args.config_file).stem}: {', '.join(values)}"
    return Experiment(title, tuple(arms), seeds or (1,), baseline=arms[0].label)


def read_seeds(text: str) -> tuple[int, ...]:
    """A number of seeds, or the seeds with commas between."""
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        raise ConfigError(
            f"--seeds must be a number, or numbers with commas, got {text!r}."
        ) from None
    return seeds_of(numbers if "," in text else numbers[0])


def find_cluster(args: argparse.Namespace, output: Path) -> Slurm | None:
    """The cluster that is to train, if one is."""
    if args.cluster_options and not args.cluster:
        raise ConfigError("--cluster-options goes with --cluster slurm.")
    if not args.cluster or args.report_only:
        return None
    return Slurm(output, args.cluster_options, args.jobs)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program.

    Returns:
        Exit code: 1 if a run has no result.
    """
    args = parse_args(argv)
    setup_logger(name="onenet")
    experiment = read_arguments(args)
    source = Path(args.experiment or args.config_file)
    output = args.output or Path("output", "ablation", source.stem)
    read_config = partial(setup_cfg, add_configs=[add_assigners_config])
    laboratory = Laboratory(experiment, output, read_config, TRAIN_NET, find_cluster(args, output))
    if args.dry_run:
        laboratory.check()
        for job in laboratory.jobs:
            print(f"{'finished' if job.finished else 'to train'}  {shlex.join(job.command[1:])}")
        return 0
    if not args.report_only:
        laboratory.train(args.jobs)
    results = laboratory.report(shlex.join(["python", *sys.argv]))
    print(f"{output / 'report.html'}, {output / 'report.md'} and {output / 'results.json'}")
    unfinished = [r for arm in results["arms"] for r in arm["runs"] if r["status"] != FINISHED]
    for run in unfinished:
        print(f"{run['status']}: {run['folder']}", file=sys.stderr)
    return 1 if unfinished else 0


if __name__ == "__main__":
    # Whoever ends this program ends the trainings as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with exit_on_user_error():
        try:
            sys.exit(main())
        except KeyboardInterrupt:
            print("Interrupted. Run it again to go on.", file=sys.stderr)
            sys.exit(INTERRUPTED)
