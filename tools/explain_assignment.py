#!/usr/bin/env python
r"""Explain why samples are positive for an object or not, by several rules, on a page to click.

tools/explain_assignment.py --config-file configs/digits/onenet_fcos_R18_digits.yaml \
    --input digits_val --assigners FCOS ATSS MaxIoU
tools/explain_assignment.py --config-file configs/digits/onenet_R18_digits.yaml \
    --input digits_val --assigners MinCost TAL \
    --weights output/digits/model_final.pth --weights-before output/digits/model_initial.pth
tools/explain_assignment.py --summary --config-file configs/digits/onenet_fcos_R18_digits.yaml \
    --input digits_train --assigners FCOS ATSS MaxIoU CenterNet

The page is explanation.html in --output-dir. With --summary the objects of the whole dataset that
get no sample are counted too, on the page, as printed tables and in coverage.json. See
docs/explain.md.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import onenet  # noqa: F401  (makes an old Detectron2 importable)

# isort: split
from assigners import add_assigners_config
from detectron2.config import CfgNode
from detectron2.data import MapDataset, MetadataCatalog
from onenet.criterion import Criterion
from onenet.data.annotated import annotated_mapper, annotated_records
from onenet.engine import exit_on_user_error, setup_cfg
from onenet.engine.arguments import add_assignment_inputs, at_least, program_parser
from onenet.files import write_text
from onenet.inspection.coverage_report import coverage_report, format_coverage
from onenet.inspection.subjects import UNTRAINED, build_variant, load_moment, moments
from onenet.inspection.survey import survey
from onenet.meta_arch import OneNet
from onenet.visualization.explanation import explain_scene, explanation_page
from tqdm import tqdm

PAGE = "explanation.html"
COVERAGE = "coverage.json"


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = program_parser(__doc__)
    add_assignment_inputs(parser)
    parser.add_argument(
        "--weights-before", metavar="FILE", help=f'beside it, other weights, or "{UNTRAINED}"'
    )
    parser.add_argument(
        "--summary", action="store_true", help="count the objects of the whole dataset too"
    )
    parser.add_argument("--output-dir", type=Path, default=Path("output/explanation"))
    parser.add_argument(
        "--max-images", type=at_least(1), default=8, metavar="N", help="of the page, default: 8"
    )
    parser.add_argument("--opts", nargs=argparse.REMAINDER, default=[], metavar="KEY VALUE")
    return parser.parse_args(argv)


def summarize(
    cfg: CfgNode,
    args: argparse.Namespace,
    records: Sequence[dict],
    model: OneNet,
    criteria: dict[str, Criterion],
) -> dict:
    """Count the objects of all images, and print what was found."""
    predicting = args.weights is not None
    scenes = MapDataset(records, annotated_mapper(cfg, blank=not predicting))
    bar = tqdm(map(scenes.__getitem__, range(len(scenes))), total=len(scenes), unit="image")
    sizes = cfg.MODEL.OneNet.OBJECT_SIZES_OF_INTEREST
    report = coverage_report(*survey(model, bar, criteria, sizes, predicting=predicting))
    print(f"{len(records)} images of {' '.join(args.input)}\n\n{format_coverage(report)}\n")
    return report


def main(argv: Sequence[str] | None = None) -> None:
    """Write the page."""
    args = parse_args(argv)
    cfg = setup_cfg(args.config_file, args.opts, add_configs=[add_assigners_config])
    names = args.assigners or [cfg.MODEL.OneNet.ASSIGNER.NAME]
    criteria = {name: build_variant(cfg, name) for name in names}
    records = annotated_records(args.input, args.annotations, cfg.MODEL.OneNet.NUM_CLASSES)
    times = moments(args.weights, args.weights_before)
    models = {title: load_moment(cfg, weights) for title, weights in times.items()}
    command = shlex.join(["python", *sys.argv])
    report = None
    if args.summary:
        report = summarize(cfg, args, records, list(models.values())[-1], criteria)
    shown = MapDataset(records[: args.max_images], annotated_mapper(cfg))
    bar = tqdm(map(shown.__getitem__, range(len(shown))), total=len(shown), unit="image")
    scenes = (explain_scene(models, scene, criteria, cfg.INPUT.FORMAT) for scene in bar)
    classes = MetadataCatalog.get(args.annotations or args.input[0]).get("thing_classes")
    page = explanation_page(scenes, len(shown), classes, command=command, coverage=report)
    args.output_dir.mkdir(parents=True, exist_ok=True)
    write_text(args.output_dir / PAGE, page)
    print(f"The page is {args.output_dir / PAGE}")
    if report:
        content = {"command": command, "images": len(records), **report}
        write_text(args.output_dir / COVERAGE, json.dumps(content, indent=1))
        print(f"The numbers are in {args.output_dir / COVERAGE}")


if __name__ == "__main__":
    with exit_on_user_error():
        main()
