#!/usr/bin/env python
"""Show what the pretrained network under a detector says to photographs, before it is trained.

tools/classify.py --config-file detector.yaml --input castle.jpg

Pixels get the values that the detector gets. Weights that belong to MODEL.TIMM.NAME, INPUT.FORMAT,
MODEL.PIXEL_MEAN and MODEL.PIXEL_STD call a castle a castle; others say anything, at a few percent.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import onenet  # noqa: F401  (makes an old Detectron2 importable)

# isort: split
import torch
from assigners import add_assigners_config
from detectron2.config import CfgNode
from detectron2.data.detection_utils import convert_PIL_to_numpy
from onenet.engine import exit_on_user_error, setup_cfg
from onenet.engine.arguments import at_least, program_parser
from onenet.modeling.backbone.timm import build_timm_classifier
from onenet.predict import read_image
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms import functional as F


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = program_parser(__doc__)
    parser.add_argument("--config-file", required=True, metavar="FILE")
    parser.add_argument("--input", nargs="+", type=Path, required=True, metavar="FILE")
    parser.add_argument("--top", type=at_least(1), default=5, metavar="N", help="default: 5")
    parser.add_argument(
        "--opts",
        nargs=argparse.REMAINDER,
        default=[],
        metavar="KEY VALUE",
        help="override the config",
    )
    return parser.parse_args(argv)


def read_pixels(path: Path, trained: dict, cfg: CfgNode) -> Tensor:
    """The middle of a photograph (1, C, side, side), resized as timm does, in values of ``cfg``."""
    side = trained["input_size"][-1]
    picture = Image.fromarray(read_image(path)[..., ::-1])
    picture = F.resize(picture, round(side / trained["crop_pct"]), F.InterpolationMode.BICUBIC)
    pixels = convert_PIL_to_numpy(F.center_crop(picture, [side, side]), cfg.INPUT.FORMAT)
    values = (pixels - cfg.MODEL.PIXEL_MEAN) / cfg.MODEL.PIXEL_STD
    return torch.from_numpy(values).permute(2, 0, 1).float()[None]


def class_descriptions(classifier: nn.Module) -> Sequence[str]:
    """What its classes are, if timm knows, else their numbers."""
    from timm.data import ImageNetInfo, infer_imagenet_subset

    subset = infer_imagenet_subset(classifier)
    info = ImageNetInfo(subset) if subset else None
    describe = info.index_to_description if info else str
    return [describe(index) for index in range(classifier.num_classes)]


@torch.inference_mode()
def main(argv: Sequence[str] | None = None) -> None:
    """Print the most probable classes of each photograph."""
    args = parse_args(argv)
    opts = [*args.opts, "MODEL.DEVICE", "cpu"]
    cfg = setup_cfg(args.config_file, opts, add_configs=[add_assigners_config])
    classifier = build_timm_classifier(cfg).eval()
    classes = class_descriptions(classifier)
    for path in args.input:
        pixels = read_pixels(path, classifier.pretrained_cfg, cfg)
        best = classifier(pixels)[0].softmax(0).topk(min(args.top, len(classes)))
        print(path)
        for probability, index in zip(*best, strict=True):
            print(f"{probability:8.1%}  {classes[index]}")


if __name__ == "__main__":
    with exit_on_user_error():
        main()
