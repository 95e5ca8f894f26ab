#!/usr/bin/env python
"""Draw the ground truth of a dataset, or what the training loader of a config makes of it.

tools/visualize_data.py --dataset digits_val --output-dir output/digits_val
tools/visualize_data.py --config-file configs/onenet_R50.yaml --output-dir output/train_samples
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

import onenet  # noqa: F401  (makes an old Detectron2 importable)

# isort: split
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, Metadata, MetadataCatalog
from detectron2.data.detection_utils import convert_image_to_rgb, read_image
from detectron2.utils.visualizer import VisImage, Visualizer
from onenet.data import build_train_loader, check_datasets_available
from onenet.engine import setup_cfg
from onenet.engine.arguments import at_least
from onenet.errors import UserError
from tqdm import tqdm

Picture = tuple[str, VisImage]  # file name and drawing


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--dataset", metavar="NAME", help="draw the annotations of this dataset")
    source.add_argument("--config-file", metavar="FILE", help="draw what its train loader yields")
    parser.add_argument("--output-dir", type=Path, required=True, metavar="DIR")
    parser.add_argument(
        "--max-images", type=at_least(1), default=20, metavar="N", help="default: 20"
    )
    parser.add_argument("--scale", type=float, default=2.0, help="enlargement, default: 2")
    parser.add_argument(
        "opts", nargs=argparse.REMAINDER, metavar="KEY VALUE", help="override the config"
    )
    return parser.parse_args(argv)


def draw_annotations(name: str, scale: float) -> Iterator[Picture]:
    """The images of a registered dataset with their annotations."""
    check_datasets_available([name])
    records, metadata = DatasetCatalog.get(name), MetadataCatalog.get(name)
    return ((Path(r["file_name"]).stem, draw_record(r, metadata, scale)) for r in records)


def draw_record(record: dict, metadata: Metadata, scale: float) -> VisImage:
    """One image with its annotations."""
    image = read_image(record["file_name"], "RGB")
    return Visualizer(image, metadata, scale=scale).draw_dataset_dict(record)


def draw_samples(cfg: CfgNode, scale: float) -> Iterator[Picture]:
    """Training samples after augmentation, without end."""
    batches, metadata = build_train_loader(cfg), MetadataCatalog.get(cfg.DATASETS.TRAIN[0])
    return (
        (f"{index:04d}", draw_sample(sample, cfg.INPUT.FORMAT, metadata, scale))
        for index, sample in enumerate(chain.from_iterable(batches))
    )


def draw_sample(sample: dict, image_format: str, metadata: Metadata, scale: float) -> VisImage:
    """One training sample with its boxes and classes."""
    image = convert_image_to_rgb(sample["image"].permute(1, 2, 0), image_format)
    truth = sample["instances"]
    labels = [metadata.thing_classes[i] for i in truth.gt_classes]
    return Visualizer(image, metadata, scale=scale).overlay_instances(
        boxes=truth.gt_boxes, labels=labels
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Write the pictures."""
    args = parse_args(argv)
    if args.dataset:
        pictures = draw_annotations(args.dataset, args.scale)
    else:
        cfg = setup_cfg(args.config_file, [*args.opts, "DATALOADER.NUM_WORKERS", "0"])
        pictures = draw_samples(cfg, args.scale)
    args.output_dir.mkdir(parents=True, exist_ok=True)
    for name, drawing in tqdm(islice(pictures, args.max_images), unit="image"):
        drawing.save(str(args.output_dir / f"{name}.png"))
    print(f"Pictures are in {args.output_dir}")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
