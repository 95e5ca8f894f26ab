"""Fixtures that the tests of the package share: reference numbers and random problems."""

import json
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import onenet  # noqa: F401  (makes Detectron2 importable, so it comes first)
import pytest
import torch

# isort: split
from detectron2.config import get_cfg
from detectron2.structures import Boxes, Instances
from onenet import GroundTruth, Predictions, Priors, add_onenet_config

GOLDEN = Path(__file__).parents[1] / "golden"


def pytest_configure(config):
    config.addinivalue_line(
        "markers",
        "golden(family, tag, kind): call the test with each `case` of golden/<family>.npz whose "
        "tag starts so",
    )


def pytest_generate_tests(metafunc):
    for marker in metafunc.definition.iter_markers("golden"):
        cases = load_golden(*marker.args, marker.kwargs.get("kind", "case"))
        wanted = marker.kwargs.get("tag", "")
        cases = [case for case in cases if case["tag"].startswith(wanted)]
        metafunc.parametrize("case", cases, ids=[case["tag"] for case in cases])


@pytest.fixture(autouse=True)
def hold_explanations(request):
    """Rules that run on a golden case explain themselves, and their verdict is what they did."""
    if request.node.get_closest_marker("golden"):
        request.getfixturevalue("explained")


@lru_cache
def load_golden(family: str, kind: str = "case") -> list[dict]:
    """The cases (or groups) of a file of reference numbers.

    Returns:
        For each a dict of tensors, numbers and, as "state_dict", the weights where it has any.
    """
    with np.load(GOLDEN / f"{family}.npz") as archive:
        arrays = {key: _read(archive[key]) for key in archive.files}
    cases = []
    for name in sorted({key.split("_")[0] for key in arrays if key.startswith(kind)}):
        case = {k.removeprefix(f"{name}_"): v for k, v in arrays.items() if k.startswith(name)}
        state = {k: v for k, v in case.items() if k.startswith("sd__")}
        case = {k: v for k, v in case.items() if k not in state}
        case["state_dict"] = {k.removeprefix("sd__"): v for k, v in state.items()}
        cases.append({"tag": name, **case})
    return cases


def _read(array):
    return torch.from_numpy(array) if array.ndim else array.item()


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def golden_cases():
    return load_golden


@pytest.fixture(scope="session")
def golden_json():
    """Read golden/<name>.json."""
    return lambda name: json.loads((GOLDEN / f"{name}.json").read_text())


@dataclass(frozen=True)
class Problem:
    """What an assigner is given."""

    priors: Priors
    predictions: Predictions
    gt: GroundTruth

    def image(self, index: int) -> "Problem":
        """The batch of this image alone."""
        one = slice(index, index + 1)
        return Problem(
            self.priors, map_tensors(self.predictions, lambda x: x[one]),
            map_tensors(self.gt, lambda x: x[one]),
        )  # fmt: skip

    def to(self, device: str) -> "Problem":
        return map_tensors(self, lambda x: x.to(device))


def map_tensors(value, function):
    """Apply ``function`` to every tensor in (nested) dataclasses."""
    if is_dataclass(value):
        return replace(
            value, **{f.name: map_tensors(getattr(value, f.name), function) for f in fields(value)}
        )
    return function(value) if isinstance(value, torch.Tensor) else value


@pytest.fixture(scope="session")
def to_device():
    """Move every tensor of a dataclass."""
    return lambda value, device: map_tensors(value, lambda x: x.to(device))


@pytest.fixture(scope="session")
def make_problem():
    return random_problem


def random_problem(
    objects=(3, 0, 5), samples=60, classes=4, levels=1, seed=0, size=(96, 128), quality=False
) -> Problem:
    """Random predictions, at random points, of images with these numbers of objects."""
    generator = torch.Generator().manual_seed(seed)

    def rand(*shape):
        return torch.rand(*shape, generator=generator)

    height, width = size
    scale = torch.tensor([width, height])
    points = rand(samples, 2) * scale
    stride = torch.full((samples,), 8.0)
    half = 4 * stride[:, None]
    sizes = tuple(len(part) for part in torch.arange(samples).tensor_split(levels))
    priors = Priors(
        boxes=torch.cat([points - half, points + half], dim=1),
        points=points,
        stride=stride,
        level=torch.arange(levels).repeat_interleave(torch.tensor(sizes)),
        level_sizes=sizes,
    )
    images = len(objects)
    predictions = Predictions(
        logits=3 * rand(images, samples, classes) - 2,
        boxes=torch.cat([points, points], dim=1)
        + torch.tensor([-1, -1, 1, 1]) * rand(images, samples, 4) * 30,
        quality=rand(images, samples) if quality else None,
    )
    slots = max(1, *objects)
    center, extent = rand(images, slots, 2) * scale, 4 + 30 * rand(images, slots, 2)
    valid = torch.arange(slots) < torch.tensor(objects)[:, None]
    gt = GroundTruth(
        boxes=torch.cat([center - extent / 2, center + extent / 2], dim=2) * valid[..., None],
        labels=torch.randint(classes, (images, slots), generator=generator) * valid,
        valid=valid,
        image_size=torch.tensor([[height, width]] * images, dtype=torch.float32),
    )
    return Problem(priors, predictions, gt)


@pytest.fixture(scope="session")
def tiny_cfg():
    """Make configs of tiny detectors: ``tiny_cfg(head, KEY, VALUE, KEY, VALUE, ...)``."""
    return make_tiny_cfg


def make_tiny_cfg(head="CenterNet", *options):
    cfg = get_cfg()
    add_onenet_config(cfg)
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.META_ARCHITECTURE = "OneNet"
    cfg.MODEL.WEIGHTS = ""
    resnets, keys = cfg.MODEL.RESNETS, cfg.MODEL.OneNet
    resnets.DEPTH, resnets.NORM = 18, "BN"
    resnets.STEM_OUT_CHANNELS = resnets.RES2_OUT_CHANNELS = 8
    cfg.MODEL.BACKBONE.NAME = "build_basic_resnet_backbone"
    keys.HEAD = head
    keys.NUM_CLASSES = 3
    if head in ("CenterNet", "CornerNet"):
        resnets.OUT_FEATURES = ["res2", "res3", "res4", "res5"]
        keys.DCN = False
        keys.DECONV_CHANNEL = [64, 16, 16, 16]
    else:
        resnets.OUT_FEATURES = cfg.MODEL.FPN.IN_FEATURES = ["res3", "res4", "res5"]
        cfg.MODEL.BACKBONE.NAME = "build_basic_resnet_fpn_backbone"
        cfg.MODEL.FPN.OUT_CHANNELS, cfg.MODEL.FPN.NORM = 16, "BN"
        keys.IN_FEATURES = ["p3", "p4", "p5", "p6", "p7"]
        keys.NUM_CONV = 1
        keys.CONV_CHANNELS = 64
        cfg.MODEL.ANCHOR_GENERATOR.SIZES = [[size, 1.5 * size] for size in (16, 32, 64, 128, 256)]
    cfg.merge_from_list(list(options))
    return cfg


@pytest.fixture(scope="session")
def make_inputs():
    """Make a batch in Detectron2's standard format."""

    def make(objects=(2, 0), size=(64, 96), seed=0):
        generator = torch.Generator().manual_seed(seed)
        height, width = size
        batch = []
        for count in objects:
            instances = Instances(size)
            low = torch.rand(count, 2, generator=generator) * torch.tensor([width, height]) * 0.6
            extent = 8 + torch.rand(count, 2, generator=generator) * 20
            instances.gt_boxes = Boxes(torch.cat([low, low + extent], dim=1))
            instances.gt_classes = torch.randint(3, (count,), generator=generator)
            image = torch.rand(3, *size, generator=generator) * 255
            batch.append({"image": image, "instances": instances})
        return batch

    return make


@pytest.fixture
def digits_cfg(tiny_cfg, few_digits_names, tmp_path):
    """A config that trains for four iterations and does not evaluate."""
    cfg = tiny_cfg()
    cfg.MODEL.OneNet.NUM_CLASSES = 10
    cfg.DATASETS.TRAIN, cfg.DATASETS.TEST = (few_digits_names["train"],), ()
    cfg.DATALOADER.NUM_WORKERS = 0
    cfg.INPUT.MIN_SIZE_TRAIN, cfg.INPUT.MIN_SIZE_TEST = (64,), 64
    cfg.SOLVER.IMS_PER_BATCH = 2
    cfg.SOLVER.MAX_ITER, cfg.SOLVER.STEPS = 4, (3,)
    cfg.SOLVER.WARMUP_ITERS, cfg.SOLVER.CHECKPOINT_PERIOD = 2, 2
    cfg.SEED = 1
    cfg.OUTPUT_DIR = str(tmp_path / "output")
    return cfg
