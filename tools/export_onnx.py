#!/usr/bin/env python
r"""Export a detector as one ONNX graph: uint8 images in; boxes, scores and classes out, no NMS.

tools/export_onnx.py --config-file output/digits/config.yaml --output model.onnx \
    MODEL.WEIGHTS output/digits/model_final.pth
tools/export_onnx.py --config-file config.yaml --output model.onnx --images scenes/*.png

The file is kept only if it detects what PyTorch detects. An --output that ends in .pt2 becomes a
torch.export program instead. See docs/deployment.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import onenet  # noqa: F401  (makes an old Detectron2 importable)

# isort: split
from assigners import add_assigners_config
from detectron2.utils.logger import setup_logger
from onenet.engine import exit_on_user_error, setup_cfg
from onenet.engine.arguments import add_opts, program_parser
from onenet.export import export_model
from onenet.predict import read_image


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = program_parser(__doc__)
    parser.add_argument("--config-file", required=True, metavar="FILE")
    parser.add_argument("--output", required=True, metavar="FILE", help="model.onnx or model.pt2")
    parser.add_argument(
        "--images", nargs="+", default=[], metavar="FILE", help="to compare on, default: digits"
    )
    add_opts(parser, nargs="*")
    return parser.parse_intermixed_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Export, and say what was compared."""
    args = parse_args(argv)
    setup_logger(name="onenet")
    opts = [*args.opts, "MODEL.DEVICE", "cpu"]
    cfg = setup_cfg(args.config_file, opts, add_configs=[add_assigners_config])
    result = export_model(cfg, args.output, [read_image(path) for path in args.images])
    print(
        f"{args.output}: the same as PyTorch in {result.batches} batches of two sizes "
        f"({result.detections} detections above {result.floor})"
    )


if __name__ == "__main__":
    with exit_on_user_error():
        main()
