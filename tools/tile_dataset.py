#!/usr/bin/env python
"""Cut a COCO dataset of large pictures into one of overlapping tiles.

tools/tile_dataset.py --annotations forest/train.json --images forest/images --output tiles/train
tools/tile_dataset.py ... --tile 640 --overlap 128 --min-share 0.5 --drop-empty
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import onenet  # noqa: F401  (makes an old Detectron2 importable)

# isort: split
from onenet.data.coco.tile_dataset import Tiling, tile_dataset
from onenet.engine import exit_on_user_error
from onenet.engine.arguments import at_least, program_parser
from PIL import Image


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = program_parser(__doc__)
    add = parser.add_argument
    add("--annotations", type=Path, required=True, metavar="FILE", help="in COCO's format")
    add(
        "--images",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder that the file names of the annotations start in",
    )
    add(
        "--output",
        type=Path,
        required=True,
        metavar="DIR",
        help="new folder for annotations.json and images/*.png",
    )
    add(
        "--tile",
        type=at_least(1),
        default=Tiling.size,
        metavar="PIXELS",
        help="side of a tile (default: %(default)s)",
    )
    add(
        "--overlap",
        type=at_least(0),
        default=Tiling.overlap,
        metavar="PIXELS",
        help="what neighbours share at least; objects up to this size lie whole in some tile "
        "(default: %(default)s)",
    )
    add(
        "--min-share",
        type=float,
        default=Tiling.min_share,
        metavar="SHARE",
        help="drop a box where less of its area is in the tile (default: %(default)s)",
    )
    add("--drop-empty", action="store_true", help="leave out tiles in which nothing is annotated")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Cut the dataset, and tell how to use the tiles."""
    args = parse_args(argv)
    tiling = Tiling(args.tile, args.overlap, args.min_share, keep_empty=not args.drop_empty)
    Image.MAX_IMAGE_PIXELS = None  # large pictures of the user's own are what this is for
    tiles = tile_dataset(args.annotations, args.images, args.output, tiling)
    crowds = sum(one["iscrowd"] for one in tiles["annotations"])
    print(
        f"{args.output}: {len(tiles['images'])} tiles, {len(tiles['annotations']) - crowds} boxes, "
        f"{crowds} crowd regions"
    )
    print(
        f'for DATASETS.REGISTER: ["NAME", "{args.output}/annotations.json", "{args.output}/images"]'
    )


if __name__ == "__main__":
    with exit_on_user_error():
        main()
