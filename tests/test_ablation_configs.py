"""The configs of an ablation differ in the assigner and in nothing else."""

from functools import lru_cache
from pathlib import Path

import pytest
import torch
from assigners import add_assigners_config
from detectron2.modeling import build_model
from detectron2.structures import Boxes, Instances
from onenet import ASSIGNER_REGISTRY, build_assigner
from onenet.engine import setup_cfg

ROOT = Path(__file__).parents[1] / "configs"
HEADS = {"single-level": "CenterNet", "fcos": "FCOS", "retinanet": "RetinaNet"}
ASSIGNERS = ("MinCost", "MaxIoU", "ATSS", "FCOS", "CenterNet")
FAMILIES = [
    *(f"ablations/{head}/R50_{schedule}" for head in HEADS for schedule in ("1x", "3x")),
    *(f"digits/ablations/{head}/R18" for head in HEADS),
]
SCHEDULES = {"1x": (90000, (60000, 80000)), "3x": (270000, (210000, 250000))}
MAX_LINES = 8


def path(family, assigner):
    return f"{family}_{assigner.lower()}.yaml"


@lru_cache
def load(name):
    return setup_cfg(str(ROOT / name), ["MODEL.DEVICE", "cpu"], add_configs=[add_assigners_config])


def head_of(family):
    return family.split("/")[-2]


def test_every_combination_is_there_and_nothing_else():
    expected = {path(family, assigner) for family in FAMILIES for assigner in ASSIGNERS}
    found = {
        str(file.relative_to(ROOT))
        for folder in (ROOT / "ablations", ROOT / "digits/ablations")
        for file in folder.rglob("*.yaml")
        if not file.name.startswith("Base")
    }
    assert found == expected


@pytest.mark.parametrize("family", FAMILIES)
def test_leaves_only_switch_the_assigner(family):
    common = set()
    for assigner in ASSIGNERS:
        file = ROOT / path(family, assigner)
        assert len(file.read_text().splitlines()) <= MAX_LINES
        cfg = load(path(family, assigner)).clone()
        cfg.defrost()
        assert HEADS[head_of(family)] == cfg.MODEL.OneNet.HEAD
        assert assigner == cfg.MODEL.OneNet.ASSIGNER.NAME
        assert cfg.OUTPUT_DIR.endswith(path(family, assigner).removesuffix(".yaml"))
        cfg.MODEL.OneNet.ASSIGNER.NAME = cfg.OUTPUT_DIR = ""
        common.add(cfg.dump())
    assert len(common) == 1


@pytest.mark.parametrize("family", [f for f in FAMILIES if "R50" in f])
def test_schedules(family):
    max_iter, steps = SCHEDULES[family[-2:]]
    solver = load(path(family, "ATSS")).SOLVER
    assert (max_iter, steps) == (solver.MAX_ITER, solver.STEPS)


@pytest.mark.parametrize("head", ["fcos", "retinanet"])
def test_pyramid_recipes_are_the_published_ones(head):
    cfg = load(f"onenet_{head}_R50.yaml")
    assert cfg.MODEL.BACKBONE.NAME == "build_retinanet_resnet_fpn_backbone"
    assert (cfg.MODEL.BACKBONE.FREEZE_AT, cfg.MODEL.RESNETS.NORM) == (2, "FrozenBN")
    assert not cfg.MODEL.RESNETS.STRIDE_IN_1X1
    solver, sizes = cfg.SOLVER, cfg.INPUT
    assert (solver.IMS_PER_BATCH, solver.BASE_LR, solver.OPTIMIZER) == (16, 4e-5, "ADAMW")
    assert solver.CLIP_GRADIENTS.ENABLED and solver.CLIP_GRADIENTS.CLIP_TYPE == "full_model"
    assert sizes.MIN_SIZE_TRAIN == (640, 672, 704, 736, 768, 800, 832, 864, 896)
    assert (sizes.MAX_SIZE_TRAIN, sizes.MIN_SIZE_TEST, sizes.MAX_SIZE_TEST) == (1500, 800, 1333)
    assert sizes.CROP.ENABLED


def test_anchors_are_three_sizes_an_octave():
    for name, smallest in (("onenet_retinanet_R50", 32), ("digits/onenet_fcos_R18_digits", 16)):
        sizes = load(f"{name}.yaml").MODEL.ANCHOR_GENERATOR.SIZES
        assert [len(level) for level in sizes] == [3] * 5
        flat = [size for level in sizes for size in level]
        assert flat == pytest.approx([smallest * 2 ** (i / 3) for i in range(15)])


@lru_cache
def shared_model(head):
    torch.manual_seed(0)
    return build_model(load(path(f"digits/ablations/{head}/R18", "MinCost")))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("assigner", ASSIGNERS)
def test_takes_a_step(family, assigner):
    """The model is that of the digits: the leaves of a head share all but the assigner."""
    model = shared_model(head_of(family))
    model.criterion.assigner = build_assigner(load(path(family, assigner)))
    assert type(model.criterion.assigner) is ASSIGNER_REGISTRY.get(assigner)
    instances = Instances((96, 96))
    instances.gt_boxes = Boxes(torch.tensor([[4.0, 4, 30, 40], [20, 10, 70, 60]]))
    instances.gt_classes = torch.tensor([3, 7])
    losses = model([{"image": torch.rand(3, 96, 96) * 255, "instances": instances}])
    assert losses.keys() == {"loss_ce", "loss_giou", "loss_bbox"}
    assert all(loss.isfinite() for loss in losses.values())
    sum(losses.values()).backward()
