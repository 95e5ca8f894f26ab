"""Make the digits datasets: ``python -m onenet.data [--output DIR]``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..errors import UserError
from .digits.build import SPECS, ensure_digits
from .made import datasets_root


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
        choices=[spec.name for spec in SPECS],
        help="make this one (default: all of them)",
    )
    args = parser.parse_args()
    for spec in SPECS:
        if args.only in (None, spec.name):
            print(ensure_digits(args.output, spec))


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
