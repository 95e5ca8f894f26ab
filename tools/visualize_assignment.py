#!/usr/bin/env python
r"""Draw which samples are positive for which objects, for several assigners beside each other.

tools/visualize_assignment.py --config-file configs/digits/onenet_R18_digits.yaml \
    --input digits_val --assigners CenterNet MinCost \
    --weights output/digits/model_final.pth --weights-before output/digits/model_initial.pth
tools/visualize_assignment.py --config-file configs/onenet_fcos_R50.yaml \
    --input street.jpg --annotations instances.json --assigners FCOS ATSS MaxIoU --priors
tools/visualize_assignment.py --config-file configs/onenet_R50.yaml --input coco_2017_val \
    --assigners MinCost MinCost:ASSIGNER.SOLVER=hungarian MaxIoU:ASSIGNER.MAX_IOU.PRESET=ssd

A picture for each image goes to --output-dir. See docs/label-assignment.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path

import onenet  # noqa: F401  (makes an old Detectron2 importable)

# isort: split
from assigners import add_assigners_config
from detectron2.config import CfgNode
from detectron2.data import MapDataset
from matplotlib.figure import Figure
from onenet.data.annotated import annotated_mapper, annotated_records
from onenet.engine import exit_on_user_error, setup_cfg
from onenet.engine.arguments import add_assignment_inputs, at_least, program_parser
from onenet.inspection.subjects import moments
from onenet.visualization import (
    HEATS,
    UNTRAINED,
    Panel,
    build_variant,
    comparison_figure,
    input_image,
    load_moment,
    look_at,
    save_figure,
)
from tqdm import tqdm

LEAST_SIDE = 64  # of a panel, pixels: less has no room for a title


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = program_parser(__doc__)
    add_assignment_inputs(parser)
    parser.add_argument(
        "--weights-before", metavar="FILE", help=f'above it, other weights, or "{UNTRAINED}"'
    )
    parser.add_argument("--heat", choices=HEATS, default="auto", help="default: %(default)s")
    parser.add_argument("--priors", action="store_true", help="with prior boxes of the positives")
    parser.add_argument("--output-dir", type=Path, default=Path("output/assignment"), metavar="DIR")
    parser.add_argument("--max-images", type=at_least(1), default=8, metavar="N", help="default: 8")
    parser.add_argument(
        "--side",
        type=at_least(LEAST_SIDE),
        default=480,
        metavar="PIXELS",
        help="of a panel, default: 480",
    )
    parser.add_argument("--format", choices=("png", "jpg"), default="png")
    parser.add_argument("--opts", nargs=argparse.REMAINDER, default=[], metavar="KEY VALUE")
    return parser.parse_args(argv)


def figures(
    cfg: CfgNode, args: argparse.Namespace, records: Sequence[dict]
) -> Iterator[tuple[str, Figure]]:
    """Name and picture of each image; everything is checked before the first one."""
    names = args.assigners or [cfg.MODEL.OneNet.ASSIGNER.NAME]
    criteria = {name: build_variant(cfg, name) for name in names}
    times = moments(args.weights, args.weights_before)
    models = {title: load_moment(cfg, weights) for title, weights in times.items()}
    scenes = MapDataset(records, annotated_mapper(cfg))
    for scene in map(scenes.__getitem__, range(len(scenes))):
        rows = [
            [
                Panel(f"{name}, {title}" if title else name, samples)
                for name, samples in look_at(model, scene, criteria).items()
            ]
            for title, model in models.items()
        ]
        image = input_image(scene, cfg.INPUT.FORMAT)
        options = {"heat": args.heat, "priors": args.priors, "side": args.side}
        yield Path(scene["file_name"]).stem, comparison_figure(rows, image, **options)


def free_name(folder: Path, stem: str, suffix: str, taken: set[Path]) -> Path:
    """A file for an image; images of one name in several folders get a number."""
    names = (f"{stem}.{suffix}" if i == 1 else f"{stem}_{i}.{suffix}" for i in count(1))
    path = next(folder / name for name in names if folder / name not in taken)
    taken.add(path)
    return path


def main(argv: Sequence[str] | None = None) -> None:
    """Draw the pictures."""
    args = parse_args(argv)
    cfg = setup_cfg(args.config_file, args.opts, add_configs=[add_assigners_config])
    num_classes = cfg.MODEL.OneNet.NUM_CLASSES
    records = annotated_records(args.input, args.annotations, num_classes)[: args.max_images]
    taken: set[Path] = set()
    for name, figure in tqdm(figures(cfg, args, records), total=len(records), unit="image"):
        args.output_dir.mkdir(parents=True, exist_ok=True)
        save_figure(figure, free_name(args.output_dir, name, args.format, taken))
    print(f"Pictures are in {args.output_dir}")


if __name__ == "__main__":
    with exit_on_user_error():
        main()
