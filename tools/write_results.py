#!/usr/bin/env python
"""Write a page of documentation from the results of an ablation, with its pictures beside it.

tools/write_results.py output/ablation/digits --page docs/results.md
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import onenet  # noqa: F401  (makes an old Detectron2 importable)

# isort: split
from lab.results_page import write_page
from onenet.engine import exit_on_user_error
from onenet.engine.arguments import program_parser


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = program_parser(__doc__)
    parser.add_argument("folder", type=Path, help="where tools/ablate.py left its report")
    parser.add_argument("--page", type=Path, required=True, metavar="FILE", help="Markdown")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Write the page and its pictures."""
    args = parse_args(argv)
    for file in write_page(args.folder, args.page):
        print(file)


if __name__ == "__main__":
    with exit_on_user_error():
        main()
