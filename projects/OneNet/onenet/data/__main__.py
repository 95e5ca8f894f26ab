"""Make the datasets of this package: ``python -m onenet.data [--output DIR] [--only NAME]``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..errors import UserError
from .digits.build import SPECS, ensure_digits
from .made import datasets_root
from .photographs.build import NAME as TREES
from .photographs.build import ensure_trees
from .photographs.whole import NAME as WHOLE
from .photographs.whole import ensure_whole


def main() -> None:
    """Parse the command line and make what is missing."""
    parser = argparse.ArgumentParser(prog="python -m onenet.data", description=__doc__)
    parser.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        default=datasets_root(),
        help="folder of all datasets (default: $DETECTRON2_DATASETS, now %(default)s)",
    )
    parser.add_argument(
        "--only",
        choices=[*(spec.name for spec in SPECS), TREES, WHOLE],
        help="make this one (default: all but those of trees, whose photographs need a package)",
    )
    args = parser.parse_args()
    for spec in SPECS:
        if args.only in (None, spec.name):
            print(ensure_digits(args.output, spec))
    if args.only == TREES:
        print(ensure_trees(args.output))
    if args.only == WHOLE:
        print(ensure_whole(args.output))


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
