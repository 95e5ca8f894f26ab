#!/usr/bin/env python
"""Train detectors of trees on real photographs, and look for the trees of a whole one.

One without NMS and one with it train for as many seconds (``make photographs``). It can be
interrupted and run again: it goes on where it was, and trains nothing twice.

tools/run_photographs.py
tools/run_photographs.py --output-dir output/photographs_short SOLVER.MAX_ITER 300
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import onenet  # noqa: F401  (makes an old Detectron2 importable)

# isort: split
from assigners import add_assigners_config
from demo_steps import ROOT, finish, free_output_folder, run_to_exit, say, train, training_time
from detectron2.config import CfgNode
from onenet.data import check_datasets_available
from onenet.engine import setup_cfg
from onenet.engine.arguments import add_opts, program_parser
from onenet.visualization import draw_gallery, outcome_sheet, save_figure
from tabulate import tabulate
from whole_pictures import Outcome, look_at_whole

CONFIGS = ROOT / "configs" / "trees"
WHOLE = "trees_whole_val"  # the photograph that the tiles of trees_val are cut from
PANEL = 900  # width of a whole photograph in the comparison, pixels
STEP_SECONDS = 0.25  # of either, on 2 cores


class Detector(NamedTuple):
    """One that is trained.

    Attributes:
        title: of its picture and its row.
        folder: of its run.
        config: name of its config.
        opts: what it changes there.
        nms: whether it needs it.
    """

    title: str
    folder: str
    config: str
    opts: tuple[str, ...]
    nms: bool


DETECTORS = (
    Detector("selector, no NMS", "selector", "onenet_lite0_trees_selector", (), False),
    Detector(
        "FCOS, NMS", "fcos", "onenet_lite0_trees", ("MODEL.OneNet.ASSIGNER.NAME", "FCOS"), True
    ),
)


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = program_parser(__doc__)
    parser.add_argument(
        "--output-dir",
        type=Path,
        default=Path("output/photographs"),
        metavar="DIR",
        help="default: %(default)s",
    )
    add_opts(parser)
    return parser.parse_args(argv)


def command_line(detector: Detector, args: argparse.Namespace) -> tuple[str, list[str]]:
    """The config file of a detector, and the keys that differ from it."""
    opts = [*detector.opts, *args.opts, "OUTPUT_DIR", str(args.output_dir / detector.folder)]
    return os.path.relpath(CONFIGS / f"{detector.config}.yaml"), opts


def config(detector: Detector, args: argparse.Namespace) -> CfgNode:
    """The config of a detector."""
    return setup_cfg(*command_line(detector, args), add_configs=[add_assigners_config])


def trained(cfg: CfgNode) -> CfgNode:
    """The config with the weights at the end of its run."""
    cfg = cfg.clone()
    cfg.defrost()
    cfg.MODEL.WEIGHTS = str(Path(cfg.OUTPUT_DIR, "model_final.pth"))
    return cfg


def row(
    detector: Detector, cfg: CfgNode, results: Mapping[str, float], outcome: Outcome
) -> dict[str, str]:
    """What the summary says of a detector."""
    task = "bbox_nms" if detector.nms else "bbox"
    return {
        "detector": detector.title,
        "AP on tiles": f"{results[f'{task}/AP']:.1f}",
        "AP50 on tiles": f"{results[f'{task}/AP50']:.1f}",
        "AP on the whole photograph": f"{outcome.metrics['AP']:.1f}",
        "AP50 there": f"{outcome.metrics['AP50']:.1f}",
        "steps": str(cfg.SOLVER.MAX_ITER),
        "training": training_time(cfg),
    }


def draw(folder: Path, outcomes: Mapping[str, Outcome]) -> list[Path]:
    """The whole photograph as each detector sees it, and the two beside each other."""
    folder.mkdir(parents=True, exist_ok=True)
    singles = {name: outcome.scenes[0] for name, outcome in outcomes.items()}
    for name, scene in singles.items():
        save_figure(outcome_sheet([scene], scene.image.shape[1]), folder / f"{name}.png")
    save_figure(outcome_sheet(list(singles.values()), PANEL), folder / "comparison.png")
    return [folder / f"{name}.png" for name in ("comparison", *singles)]


def summarize(rows: Sequence[Mapping[str, str]]) -> str:
    """The outcome as Markdown."""
    table = tabulate(rows, headers="keys", tablefmt="pipe", disable_numparse=True)
    return (
        f"# Trees in photographs\n\n{table}\n\nTiles are those of trees_val; the whole photograph "
        "is seen in tiles of 400 px that overlap by 120, and a detection\ncounts where its centre "
        "lies in the tile's own part. Training is the sum of the steps alone "
        "(docs/photographs.md).\n"
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Do what is not done yet."""
    args = parse_args(argv)
    cfgs = {detector: config(detector, args) for detector in DETECTORS}
    for cfg in cfgs.values():
        free_output_folder(cfg)
    say("1/4 Data: tiles of photographs of forests, a few seconds if they are not there yet.")
    check_datasets_available([*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST, WHOLE])
    results = {}
    for number, (detector, cfg) in enumerate(cfgs.items(), start=2):
        results[detector] = train(f"{number}/4", *command_line(detector, args), cfg, STEP_SECONDS)
    say(f"4/4 Looking for the trees of {WHOLE}, and drawing, about a minute.")
    outcomes = {
        detector: look_at_whole(trained(cfg), WHOLE, detector.title, nms=detector.nms)
        for detector, cfg in cfgs.items()
    }
    pictures = draw(args.output_dir / "pictures", {d.folder: o for d, o in outcomes.items()})
    for cfg in cfgs.values():
        pictures.append(draw_gallery(cfg)[0])
    rows = [row(d, cfg, results[d], outcomes[d]) for d, cfg in cfgs.items()]
    finish(args.output_dir / "summary.md", summarize(rows), pictures)


if __name__ == "__main__":
    run_to_exit(main)
