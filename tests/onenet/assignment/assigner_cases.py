"""Every registered assigner under every head, and scenes to run it on.

The example of docs/adding-an-assigner.md is one of them.
"""

import re
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import lru_cache, partial
from pathlib import Path

import assigners
import pytest
import torch
from detectron2.config import get_cfg
from detectron2.layers import ShapeSpec
from detectron2.modeling.anchor_generator import build_anchor_generator
from onenet import ASSIGNER_REGISTRY, GroundTruth, Predictions, Priors, add_onenet_config
from onenet.geometry import box_centers
from onenet.modeling.heads.priors import level_and_stride, point_priors

from ...refused import REFUSED

PAGE = Path(__file__).parents[3] / "docs/adding-an-assigner.md"
HEADS = {"CenterNet": [4], "FCOS": [8, 16, 32, 64, 128], "RetinaNet": [8, 16, 32, 64, 128]}
NUM_CLASSES = 5
SIZE = 192, 256
# Sizes for several levels, no two near enough to compete for a sample, nothing symmetric.
OBJECTS = [
    [[12.3, 20.1, 27.9, 33.2], [150.7, 15.2, 238.1, 101.9], [31.4, 118.3, 78.8, 169.6]],
    [[171.2, 122.7, 214.6, 161.3], [13.1, 17.7, 98.3, 83.9]],
]
LABELS = [[1, 4, 0], [2, 2]]
VARIANTS = {
    "MinCost": [
        ("SOLVER", "hungarian"),
        ("REGION", "inside"),
        ("REGION", "center", "SOLVER", "hungarian"),
    ],
    "MaxIoU": [("MAX_IOU.PRESET", "ssd"), ("MAX_IOU.PRESET", "rpn")],
    "FCOS": [("FCOS.CENTER_SAMPLING", False)],
    "TAL": [
        ("TAL.PRESET", "yolo"),
        ("TAL.PRESET", "yolo_one"),
        ("TAL.PRESET", "yolo", "TAL.SOFT_LABELS", False),
    ],
    "SimOTA": [("SIMOTA.PRESET", "yolox")],
    "POTO": [("POTO.SOLVER", "argmax")],
    "PAA": [("PAA.PRESET", "mmdet")],
    "YOLOv3": [("YOLOV3.PRESET", "mmdet")],
}


def documented_example():
    """The class and the config function of the documentation, without leaving it registered."""
    namespace, known = {}, dict(ASSIGNER_REGISTRY)
    exec(re.search(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)[1], namespace)
    (name,) = dict(ASSIGNER_REGISTRY).keys() - known.keys()
    del ASSIGNER_REGISTRY._obj_map[name]
    return name, namespace[name], namespace["add_nearest_points_config"]


EXAMPLE_NAME, EXAMPLE, ADD_EXAMPLE_CONFIG = documented_example()
BUILDERS = {**dict(ASSIGNER_REGISTRY), EXAMPLE_NAME: EXAMPLE}
CASES = [
    pytest.param(head, name, options, id="-".join([head, name, *map(str, options)]))
    for head in HEADS
    for name in BUILDERS
    if (head, name) not in REFUSED
    for options in [(), *VARIANTS.get(name, ())]
]


def is_hungarian(name, options):
    """Whether the solver is one that runs on the CPU."""
    return "hungarian" in options or (name == "POTO" and not options)


@dataclass(frozen=True)
class Scene:
    """The arguments of an assigner."""

    priors: Priors
    predictions: Predictions
    gt: GroundTruth

    def to(self, device):
        return map_tensors(self, lambda x: x.to(device))

    def image(self, index):
        pick = partial(map_tensors, function=lambda x: x[index : index + 1])
        return Scene(self.priors, pick(self.predictions), pick(self.gt))


def map_tensors(value, function):
    """A structure with a function of each of its tensors."""
    if is_dataclass(value):
        return replace(
            value, **{f.name: map_tensors(getattr(value, f.name), function) for f in fields(value)}
        )
    return function(value) if isinstance(value, torch.Tensor) else value


@lru_cache
def config(head):
    cfg = get_cfg()
    add_onenet_config(cfg)
    assigners.add_assigners_config(cfg)
    ADD_EXAMPLE_CONFIG(cfg)
    cfg.MODEL.OneNet.HEAD = head
    cfg.MODEL.OneNet.NUM_CLASSES = NUM_CLASSES
    if head != "CenterNet":
        cfg.MODEL.OneNet.IN_FEATURES = ["p3", "p4", "p5", "p6", "p7"]
        cfg.MODEL.ANCHOR_GENERATOR.SIZES = [
            [s, s * 1.26, s * 1.59] for s in (32, 64, 128, 256, 512)
        ]
    return cfg


def build(head, name, options=(), max_pairs=1 << 18):
    cfg = config(head).clone()
    options = ["MAX_PAIRS", max_pairs, *options]
    keys = [f"MODEL.OneNet.ASSIGNER.{key}" for key in options[::2]]
    cfg.merge_from_list([x for pair in zip(keys, options[1::2], strict=True) for x in pair])
    return BUILDERS[name](cfg)


@lru_cache
def priors_of(head, size=SIZE):
    strides = HEADS[head]
    maps = [torch.empty(1, 1, -(-size[0] // s), -(-size[1] // s)) for s in strides]
    if head != "RetinaNet":
        return point_priors(maps, strides, 8.0)
    generator = build_anchor_generator(config(head), [ShapeSpec(stride=s) for s in strides])
    anchors = [boxes.tensor for boxes in generator(maps)]
    sizes = tuple(map(len, anchors))
    boxes = torch.cat(anchors)
    level, stride = level_and_stride(sizes, strides, boxes.device)
    shapes = tuple(tuple(x.shape[-2:]) for x in maps)
    return Priors(boxes, box_centers(boxes), stride, level, sizes, shapes, generator.num_anchors[0])


def ground_truth(objects, labels, slots=None, size=SIZE):
    slots = slots or max(1, *map(len, objects))
    batch = len(objects)
    gt = GroundTruth(
        boxes=torch.zeros(batch, slots, 4),
        labels=torch.zeros(batch, slots, dtype=torch.int64),
        valid=torch.zeros(batch, slots, dtype=torch.bool),
        image_size=torch.tensor([size] * batch, dtype=torch.float32),
    )
    for image, (boxes, classes) in enumerate(zip(objects, labels, strict=True)):
        count = len(boxes)
        if count:
            gt.boxes[image, :count] = torch.tensor(boxes)
            gt.labels[image, :count] = torch.tensor(classes)
            gt.valid[image, :count] = True
    return gt


def scene(head, objects=OBJECTS, labels=LABELS, slots=None, size=SIZE, spread=2.0):
    """Random predictions for these objects; the first images always get the same."""
    priors = priors_of(head, size)
    logits, boxes = [], []
    for image in range(len(objects)):
        generator = torch.Generator().manual_seed(image)
        noise = torch.rand(len(priors), 4 + NUM_CLASSES, generator=generator)
        logits.append(spread * (noise[:, 4:] - 0.5))
        sides = (2 + 30 * noise[:, :4]) * torch.tensor([-1, -1, 1, 1])
        boxes.append(priors.points.repeat(1, 2) + sides)
    predictions = Predictions(torch.stack(logits), torch.stack(boxes))
    return Scene(priors, predictions, ground_truth(objects, labels, slots, size))
