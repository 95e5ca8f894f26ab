#!/usr/bin/env python
"""Make COCO json files of CrowdHuman's .odgt annotations.

tools/convert_crowdhuman.py                                 # in $DETECTRON2_DATASETS/crowdhuman
tools/convert_crowdhuman.py --folder /data/crowdhuman --splits val
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import onenet  # noqa: F401  (makes an old Detectron2 importable)

# isort: split
from onenet.data.crowdhuman.dataset import (
    SPLITS,
    crowdhuman_folder,
    image_root,
    json_file,
    odgt_file,
)
from onenet.data.crowdhuman.odgt import check_inputs, convert_odgt
from onenet.engine import exit_on_user_error
from onenet.engine.arguments import program_parser
from onenet.files import write_text

MAX_LISTED = 20  # broken lines of a file that are told one by one


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = program_parser(__doc__)
    parser.add_argument(
        "--folder",
        type=Path,
        default=crowdhuman_folder(),
        metavar="DIR",
        help="with annotation_SPLIT.odgt and CrowdHuman_SPLIT/ (default: %(default)s)",
    )
    parser.add_argument("--splits", nargs="+", choices=SPLITS, default=SPLITS)
    return parser.parse_args(argv)


def convert_split(folder: Path, split: str) -> bool:
    """Convert one split and tell what became of it; whether every line could be used."""
    odgt, target = odgt_file(folder, split), json_file(folder, split)
    result = convert_odgt(odgt, image_root(folder, split))
    target.parent.mkdir(parents=True, exist_ok=True)
    write_text(target, json.dumps(result.coco))
    boxes = result.coco["annotations"]
    ignored = sum(box["iscrowd"] for box in boxes)
    print(
        f"{target}: {len(result.coco['images'])} images, {len(boxes) - ignored} people, "
        f"{ignored} ignore regions"
    )
    for number, reason in result.problems[:MAX_LISTED]:
        print(f"{odgt}, line {number}: {reason}", file=sys.stderr)
    if result.problems:
        print(f"{odgt}: {len(result.problems)} broken lines were left out", file=sys.stderr)
    return not result.problems


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program.

    Returns:
        Exit code: 1 if some line could not be used; the others are converted.
    """
    args = parse_args(argv)
    for split in args.splits:
        check_inputs(odgt_file(args.folder, split), image_root(args.folder, split))
    complete = [convert_split(args.folder, split) for split in args.splits]
    return 0 if all(complete) else 1


if __name__ == "__main__":
    with exit_on_user_error():
        sys.exit(main())
