#!/usr/bin/env python
r"""Count which objects of a dataset get no sample from a rule of label assignment, and why.

tools/explain_assignment.py --summary --config-file configs/digits/onenet_fcos_R18_digits.yaml \
    --input digits_train --assigners FCOS ATSS MaxIoU CenterNet
tools/explain_assignment.py --summary --config-file configs/digits/onenet_R18_digits.yaml \
    --input digits_val --assigners MinCost TAL --weights output/digits/model_final.pth

The tables are printed, and their numbers are in coverage.json of --output-dir. See docs/explain.md.
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
from detectron2.data import MapDataset
from onenet.data.annotated import annotated_mapper, annotated_records
from onenet.engine import exit_on_user_error, setup_cfg
from onenet.engine.arguments import at_least, program_parser
from onenet.files import write_text
from onenet.inspection.coverage_report import coverage_report, format_coverage
from onenet.inspection.subjects import UNTRAINED, build_variant, load_moment
from onenet.inspection.survey import survey
from tqdm import tqdm

COVERAGE = "coverage.json"


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = program_parser(__doc__)
    parser.add_argument("--summary", action="store_true", required=True, help="count objects")
    parser.add_argument("--config-file", required=True, metavar="FILE")
    parser.add_argument(
        "--input", nargs="+", required=True, help="a registered dataset, or images and folders"
    )
    parser.add_argument("--annotations", metavar="FILE", help="COCO json of these images")
    parser.add_argument(
        "--assigners",
        nargs="+",
        metavar="NAME[:KEY=VALUE,...]",
        help="keys are those below MODEL.OneNet, default: the assigner of the config",
    )
    parser.add_argument(
        "--weights",
        metavar="FILE",
        help=f'for rules that look at predictions, of a trained model, or "{UNTRAINED}"',
    )
    parser.add_argument("--output-dir", type=Path, default=Path("output/explanation"))
    parser.add_argument("--max-images", type=at_least(1), metavar="N", help="default: all")
    parser.add_argument("--opts", nargs=argparse.REMAINDER, default=[], metavar="KEY VALUE")
    return parser.parse_args(argv)


def summarize(args: argparse.Namespace) -> None:
    """Count the objects of the whole dataset."""
    cfg = setup_cfg(args.config_file, args.opts, add_configs=[add_assigners_config])
    names = args.assigners or [cfg.MODEL.OneNet.ASSIGNER.NAME]
    criteria = {name: build_variant(cfg, name) for name in names}
    records = annotated_records(args.input, args.annotations, cfg.MODEL.OneNet.NUM_CLASSES)
    records = records[: args.max_images]
    model = load_moment(cfg, args.weights or UNTRAINED)
    predicting = args.weights is not None
    scenes = MapDataset(records, annotated_mapper(cfg, blank=not predicting))
    bar = tqdm(map(scenes.__getitem__, range(len(scenes))), total=len(scenes), unit="image")
    sizes = cfg.MODEL.OneNet.OBJECT_SIZES_OF_INTEREST
    found = survey(model, bar, criteria, sizes, predicting=predicting)
    report = coverage_report(*found)
    print(f"{len(records)} images of {' '.join(args.input)}\n\n{format_coverage(report)}")
    args.output_dir.mkdir(parents=True, exist_ok=True)
    made = {"command": shlex.join(["python", *sys.argv]), "images": len(records)}
    file = args.output_dir / COVERAGE
    write_text(file, json.dumps({**made, **report}, indent=1))
    print(f"\nThe numbers are in {file}")


if __name__ == "__main__":
    with exit_on_user_error():
        summarize(parse_args())
