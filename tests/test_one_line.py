"""A recipe becomes another experiment by one line: an assigner, or a schedule."""

import copy
from functools import lru_cache
from pathlib import Path

import pytest
import torch
from assigners import add_assigners_config
from detectron2.modeling import build_model
from detectron2.structures import Boxes, Instances
from onenet import ASSIGNER_REGISTRY, ConfigError, build_assigner
from onenet.criterion import CRITERION_REGISTRY, build_criteria
from onenet.engine import setup_cfg

from .refused import REFUSED

ROOT = Path(__file__).parents[1] / "configs"
DIGITS = {head: f"digits/onenet_{head}R18_digits.yaml" for head in ("", "fcos_", "retinanet_")}
HEADS = dict(zip(DIGITS, ("CenterNet", "FCOS", "RetinaNet"), strict=True))
COCO = [f"onenet_{head}R50.yaml" for head in DIGITS]
ASSIGNER = "MODEL.OneNet.ASSIGNER.NAME"


def load(path, *opts):
    return setup_cfg(str(path), ["MODEL.DEVICE", "cpu", *opts], add_configs=[add_assigners_config])


@pytest.mark.parametrize("recipe", COCO)
def test_1x_schedule(recipe, tmp_path):
    recipe = ROOT / recipe
    solver = load(recipe).SOLVER
    assert (solver.MAX_ITER, solver.STEPS) == (270000, (210000, 250000))
    file = tmp_path / "1x.yaml"
    file.write_text(f'_BASE_: ["{recipe}", "{ROOT / "schedules/1x.yaml"}"]\n')
    shorter, cfg = (
        load(file),
        load(recipe, "SOLVER.MAX_ITER", 90000, "SOLVER.STEPS", (60000, 80000)),
    )
    assert shorter.dump() == cfg.dump()


@pytest.mark.parametrize("head", ["fcos", "retinanet"])
def test_pyramid_recipes_are_the_published_ones(head):
    cfg = load(ROOT / f"onenet_{head}_R50.yaml")
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
        sizes = load(ROOT / f"{name}.yaml").MODEL.ANCHOR_GENERATOR.SIZES
        assert [len(level) for level in sizes] == [3] * 5
        flat = [size for level in sizes for size in level]
        assert flat == pytest.approx([smallest * 2 ** (i / 3) for i in range(15)])


@lru_cache
def shared_model(head):
    torch.manual_seed(0)
    return build_model(load(ROOT / DIGITS[head]))


TAKEN = [
    (head, name)
    for name, _ in ASSIGNER_REGISTRY
    for head in DIGITS
    if (HEADS[head], name) not in REFUSED
]


@pytest.mark.parametrize("head, assigner", TAKEN)
def test_an_assigner_takes_a_step(head, assigner):
    """The line changes the assigner and nothing else, so the model need not be built again."""
    recipe, changed = load(ROOT / DIGITS[head]), load(ROOT / DIGITS[head], ASSIGNER, assigner)
    changed.defrost()
    changed.MODEL.OneNet.ASSIGNER.NAME = recipe.MODEL.OneNet.ASSIGNER.NAME
    assert changed.dump() == recipe.dump()
    model = shared_model(head)
    model.criterion.assigner = build_assigner(load(ROOT / DIGITS[head], ASSIGNER, assigner))
    losses = take_a_step(model)
    assert losses.keys() == {"loss_ce", "loss_giou", "loss_bbox"}


@pytest.mark.parametrize("head", DIGITS)
@pytest.mark.parametrize("name", [name for name, _ in CRITERION_REGISTRY])
def test_a_learned_rule_takes_a_step(head, name):
    if (HEADS[head], name) in REFUSED:
        with pytest.raises(ConfigError, match=REFUSED[HEADS[head], name]):
            load(ROOT / DIGITS[head], ASSIGNER, name)
        return
    cfg = load(ROOT / DIGITS[head], ASSIGNER, name)
    if name == "GuidedAnchoring":  # has layers of its own in the head
        model = build_model(cfg)
    else:
        model = copy.copy(shared_model(head))
        model._modules = {**model._modules, "criteria": build_criteria(cfg, ["main"])}
    assert take_a_step(model).keys() & {"loss_pos", "loss_level", "loss_loc"}


def take_a_step(model):
    instances = Instances((96, 96))
    instances.gt_boxes = Boxes(torch.tensor([[4.0, 4, 30, 40], [20, 10, 70, 60]]))
    instances.gt_classes = torch.tensor([3, 7])
    losses = model([{"image": torch.rand(3, 96, 96) * 255, "instances": instances}])
    assert all(loss.isfinite() for loss in losses.values())
    sum(losses.values()).backward()
    return losses
