#!/usr/bin/env python
"""Count the parameters and multiply-adds of a config's model, by module. No data is needed.

tools/analyze_model.py --config-file configs/onenet_R50.yaml
tools/analyze_model.py --config-file configs/onenet_fcos_R50.yaml --size 800 1333 --max-depth 4
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import onenet  # noqa: F401  (makes an old Detectron2 importable)

# isort: split
from assigners import add_assigners_config
from onenet.benchmark.complexity import analyze
from onenet.engine import exit_on_user_error, setup_cfg
from onenet.engine.arguments import add_opts, at_least, program_parser


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = program_parser(__doc__)
    parser.add_argument("--config-file", required=True, metavar="FILE")
    parser.add_argument(
        "--size",
        nargs=2,
        type=at_least(1),
        metavar=("HEIGHT", "WIDTH"),
        help="of the image, default: the sizes for testing in the config",
    )
    parser.add_argument(
        "--max-depth", type=at_least(0), default=3, metavar="N", help="of the modules, default: 3"
    )
    add_opts(parser)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table."""
    args = parse_args(argv)
    opts = [*args.opts, "MODEL.DEVICE", "cpu"]
    cfg = setup_cfg(args.config_file, opts, add_configs=[add_assigners_config])
    size = args.size or (cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST)
    found = analyze(cfg, size, args.max_depth)
    height, width = found.image_size
    print(found.table)
    for name, count in sorted(found.operators.items(), key=lambda item: -item[1]):
        if count:
            print(f"{name:>20} {count / 1e9:8.2f} G ({count / found.flops:.1%})")
    print(
        f"{found.parameters / 1e6:.2f} M parameters, {found.flops / 1e9:.2f} G multiply-adds for "
        f"one image of {height} x {width}"
    )


if __name__ == "__main__":
    with exit_on_user_error():
        main()
