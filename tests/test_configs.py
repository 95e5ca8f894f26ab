"""Every shipped config can be read, built and trained for a step."""

import json
from functools import lru_cache
from pathlib import Path

import pytest
import torch
from assigners import add_assigners_config
from detectron2.data import DatasetCatalog
from detectron2.modeling import build_model
from detectron2.structures import Boxes, Instances
from onenet.engine import build_optimizer, setup_cfg
from onenet.engine.checks import check_schedule

ROOT = Path(__file__).parents[1] / "configs"
GOLDEN = Path(__file__).parent / "golden"
CONFIGS = sorted(str(path.relative_to(ROOT)) for path in ROOT.rglob("*.yaml"))
# What other files add to theirs, nothing to be run alone.
PARTS = ("Base-instant_test.yaml", "schedules/1x.yaml")
LEAVES = [n for n in CONFIGS if not (Path(n).name.startswith("Base") or n.endswith(PARTS))]
# These have the model of another one.
VARIANTS = [name for name in LEAVES if "quick_schedules" in Path(name).parts]
MODELS = ["Base-OneNet.yaml", *(name for name in LEAVES if name not in VARIANTS)]
SIZE = 64  # pixels; the network has a stride of 32

# The published recipes, as the official YAML files have them.
RECIPES = {
    "onenet_R50.yaml": (50, False, (2048, 256, 128, 64)),
    "onenet_R50_dcn.yaml": (50, True, (2048, 256, 128, 64)),
    "onenet_R18.yaml": (18, False, (512, 256, 128, 64)),
    "onenet_R18_dcn.yaml": (18, True, (512, 256, 128, 64)),
}


# The official name of each, by which golden/ has the parameters of its checkpoints.
OFFICIAL = {
    "Base-OneNet.yaml": "Base-OneNet",
    "onenet_R18.yaml": "onenet.res18.nodcn",
    "onenet_R18_dcn.yaml": "onenet.res18.dcn",
    "onenet_R50.yaml": "onenet.res50.nodcn",
    "onenet_R50_dcn.yaml": "onenet.res50.dcn",
    "onenet_fcos_R50.yaml": "onenet.fcos.res50",
    "onenet_fcos_R50_crowdhuman.yaml": "onenet.fcos.res50.crowdhuman",
    "onenet_retinanet_R50.yaml": "onenet.retinanet.res50",
    "onenet_retinanet_R50_crowdhuman.yaml": "onenet.retinanet.res50.crowdhuman",
}


def load(name, *opts):
    """Without weights from a package, which need not be installed."""
    opts = ["MODEL.DEVICE", "cpu", "MODEL.TIMM.WEIGHTS", "", *opts]
    return setup_cfg(str(ROOT / name), opts, add_configs=[add_assigners_config])


def make_batch(num_classes):
    torch.manual_seed(0)
    batch = []
    for boxes in ([[4.0, 4, 30, 40], [20, 10, 60, 60]], []):
        instances = Instances((SIZE, SIZE))
        instances.gt_boxes = Boxes(torch.tensor(boxes).reshape(-1, 4))
        instances.gt_classes = torch.randint(num_classes, (len(boxes),))
        batch.append({"image": torch.rand(3, SIZE, SIZE) * 255, "instances": instances})
    return batch


@pytest.mark.parametrize("name", MODELS)
def test_builds_takes_a_step_and_detects(name):
    cfg = load(name)
    if "timm" in cfg.MODEL.BACKBONE.NAME:
        pytest.importorskip("timm")
    model = build_model(cfg)
    if name in OFFICIAL:
        expected = json.loads((GOLDEN / f"state_dict_{OFFICIAL[name]}.json").read_text())
        assert {key: list(value.shape) for key, value in model.state_dict().items()} == expected
    optimizer = build_optimizer(cfg, model)
    before = [p.detach().clone() for p in model.head.parameters()]
    losses = model(make_batch(cfg.MODEL.OneNet.NUM_CLASSES))
    sum(losses.values()).backward()
    optimizer.step()
    assert all(loss.isfinite() for loss in losses.values())
    after = list(model.head.parameters())
    assert all(p.isfinite().all() for p in after)
    assert any((p != q).any() for p, q in zip(before, after, strict=True))

    with torch.no_grad():
        outputs = model.eval()([{"image": torch.zeros(3, SIZE, SIZE), "height": 32, "width": 32}])
    detections = outputs[0]["instances"]
    assert detections.image_size == (32, 32)
    assert detections.scores.isfinite().all()
    assert 0 < len(detections) <= cfg.TEST.DETECTIONS_PER_IMAGE


@lru_cache
def architecture(name):
    """What a config says of its model, without the assigner, which has no parameters."""
    model = load(name).MODEL.clone()
    model.defrost()
    model.OneNet.pop("ASSIGNER")
    return model.dump()


@pytest.mark.parametrize("name", VARIANTS)
def test_the_model_of_the_others_is_one_of_these(name):
    """test_one_line.py takes a step with every assigner."""
    assert architecture(name) in map(architecture, MODELS)


@pytest.mark.parametrize("name", [name for name in CONFIGS if not name.endswith(PARTS)])
def test_is_complete(name):
    cfg = load(name)
    assert cfg.MODEL.META_ARCHITECTURE == "OneNet"
    assert cfg.INPUT.FORMAT == "RGB"
    for dataset in (*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST):
        assert dataset in DatasetCatalog.list()
    check_schedule(cfg)


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_are_the_published_ones(name):
    cfg = load(name)
    depth, dcn, channels = RECIPES[name]
    solver, onenet = cfg.SOLVER, cfg.MODEL.OneNet
    assert (depth, dcn) == (cfg.MODEL.RESNETS.DEPTH, onenet.DCN)
    assert tuple(onenet.DECONV_CHANNEL) == channels
    assert (cfg.MODEL.RESNETS.NORM, cfg.MODEL.BACKBONE.FREEZE_AT) == ("BN", 0)
    assert not cfg.MODEL.RESNETS.STRIDE_IN_1X1
    assert (solver.OPTIMIZER, solver.IMS_PER_BATCH, solver.BASE_LR) == ("ADAMW", 64, 5e-5)
    assert (solver.MAX_ITER, solver.STEPS) == (270000, (210000, 250000))
    assert not solver.CLIP_GRADIENTS.ENABLED
    assert cfg.INPUT.CROP.ENABLED
    assert (cfg.INPUT.CROP.TYPE, tuple(cfg.INPUT.CROP.SIZE)) == ("absolute_range", (384, 600))
    assert (cfg.INPUT.MIN_SIZE_TRAIN, cfg.INPUT.MAX_SIZE_TRAIN) == ((416, 448, 480, 512), 853)
    assert (cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST) == (512, 853)


def test_no_two_configs_write_to_the_same_folder():
    folders = [load(name).OUTPUT_DIR for name in LEAVES]
    assert len(set(folders)) == len(folders)


def test_digits_and_photographs_have_one_recipe_with_a_selector():
    """Rule, losses and selector are the same; the costs are of a rule that neither has."""
    digits, trees = (
        load(f"{name}_selector.yaml").MODEL.OneNet
        for name in ("digits/onenet_R18_digits", "trees/onenet_lite0_trees")
    )
    for own in ("NUM_CLASSES", "DECONV_CHANNEL", "CLASS_COST"):
        del digits[own], trees[own]
    assert digits == trees
