#!/usr/bin/env python
"""Draw the ground truth of a dataset, or what the training loader of a config makes of it.

tools/visualize_data.py --dataset digits_val --output-dir output/digits_val
tools/visualize_data.py --config-file configs/onenet_R50.yaml --output-dir output/train_samples
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

import numpy as np
import onenet  # noqa: F401  (makes an old Detectron2 importable)

# isort: split
from assigners import add_assigners_config
from detectron2.config import CfgNode
from detectron2.data.detection_utils import annotations_to_instances
from onenet.data import (
    build_train_loader,
    check_datasets_available,
    class_names,
    load_records,
    told_names,
)
from onenet.engine import exit_on_user_error, setup_cfg
from onenet.engine.arguments import add_opts, at_least, program_parser
from onenet.errors import ConfigError
from onenet.predict import read_image
from onenet.visualization import draw_truth, input_image
from PIL import Image
from tqdm import tqdm

Picture = tuple[str, np.ndarray]  # file name and drawing


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = program_parser(__doc__)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--dataset", metavar="NAME", help="draw the annotations of this dataset")
    source.add_argument("--config-file", metavar="FILE", help="draw what its train loader yields")
    parser.add_argument("--output-dir", type=Path, required=True, metavar="DIR")
    parser.add_argument(
        "--max-images", type=at_least(1), default=20, metavar="N", help="default: 20"
    )
    parser.add_argument("--scale", type=float, default=2.0, help="enlargement, default: 2")
    add_opts(parser)
    return parser.parse_args(argv)


def draw_annotations(name: str, scale: float) -> Iterator[Picture]:
    """The images of a registered dataset with their annotations."""
    records = load_records(name)
    names = class_names(name) or numbers(records)
    return ((Path(r["file_name"]).stem, draw_record(r, names, scale)) for r in records)


def numbers(records: Sequence[dict]) -> list[str]:
    """What stands for the names of classes where a dataset does not tell them."""
    classes = [one["category_id"] for record in records for one in record["annotations"]]
    return list(map(str, range(max(classes, default=0) + 1)))


def draw_record(record: dict, names: Sequence[str], scale: float) -> np.ndarray:
    """One image with its annotations."""
    image = np.ascontiguousarray(read_image(record["file_name"])[..., ::-1])
    boxes = [
        {key: one[key] for key in ("bbox", "bbox_mode", "category_id")}
        for one in record["annotations"]
    ]
    return draw_truth(image, annotations_to_instances(boxes, image.shape[:2]), names, scale)


def draw_samples(cfg: CfgNode, scale: float) -> Iterator[Picture]:
    """Training samples after augmentation, without end."""
    if not cfg.DATASETS.TRAIN:
        raise ConfigError("DATASETS.TRAIN names no dataset.")
    check_datasets_available(cfg.DATASETS.TRAIN)
    num_classes = cfg.MODEL.OneNet.NUM_CLASSES
    names = told_names(cfg.DATASETS.TRAIN, num_classes) or list(map(str, range(num_classes)))
    samples = chain.from_iterable(build_train_loader(cfg))
    return (
        (
            f"{index:04d}",
            draw_truth(input_image(sample, cfg.INPUT.FORMAT), sample["instances"], names, scale),
        )
        for index, sample in enumerate(samples)
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Write the pictures."""
    args = parse_args(argv)
    if args.dataset:
        pictures = draw_annotations(args.dataset, args.scale)
    else:
        opts = [*args.opts, "DATALOADER.NUM_WORKERS", "0"]
        cfg = setup_cfg(args.config_file, opts, add_configs=[add_assigners_config])
        pictures = draw_samples(cfg, args.scale)
    args.output_dir.mkdir(parents=True, exist_ok=True)
    for name, picture in tqdm(islice(pictures, args.max_images), unit="image"):
        Image.fromarray(picture).save(args.output_dir / f"{name}.png")
    print(f"Pictures are in {args.output_dir}")


if __name__ == "__main__":
    with exit_on_user_error():
        main()
