"""Whole models of the official recipes have the parameters of the official checkpoints."""

import pytest
import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.config import get_cfg
from detectron2.modeling import build_model
from onenet import add_onenet_config

R50 = {"RESNETS.NORM": "BN", "BACKBONE.FREEZE_AT": 0}
R18 = {
    **R50,
    "RESNETS.DEPTH": 18,
    "RESNETS.RES2_OUT_CHANNELS": 64,
    "OneNet.DECONV_CHANNEL": (512, 256, 128, 64),
}
NO_DCN = {"OneNet.DCN": False}
PYRAMID = {
    "BACKBONE.NAME": "build_retinanet_resnet_fpn_backbone",
    "RESNETS.OUT_FEATURES": ["res3", "res4", "res5"],
    "FPN.IN_FEATURES": ["res3", "res4", "res5"],
    "OneNet.IN_FEATURES": ["p3", "p4", "p5", "p6", "p7"],
}
FCOS = {**PYRAMID, "OneNet.HEAD": "FCOS"}
RETINANET = {
    **PYRAMID,
    "OneNet.HEAD": "RetinaNet",
    "ANCHOR_GENERATOR.SIZES": [
        [size * 2 ** (octave / 3) for octave in range(3)] for size in (32, 64, 128, 256, 512)
    ],
}
CROWD = {"OneNet.NUM_CLASSES": 1}
# What the official YAML files say about the architecture, by their names.
RECIPES = {
    "Base-OneNet": {},
    "onenet.res50.dcn": R50,
    "onenet.res50.nodcn": {**R50, **NO_DCN},
    "onenet.res18.dcn": R18,
    "onenet.res18.nodcn": {**R18, **NO_DCN},
    "onenet.fcos.res50": FCOS,
    "onenet.fcos.res50.crowdhuman": {**FCOS, **CROWD},
    "onenet.retinanet.res50": RETINANET,
    "onenet.retinanet.res50.crowdhuman": {**RETINANET, **CROWD},
}


def build(recipe):
    cfg = get_cfg()
    add_onenet_config(cfg)
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.META_ARCHITECTURE = "OneNet"
    cfg.MODEL.BACKBONE.NAME = "build_resnet_backbone"
    cfg.MODEL.RESNETS.OUT_FEATURES = ["res2", "res3", "res4", "res5"]
    cfg.MODEL.RESNETS.STRIDE_IN_1X1 = False
    for key, value in recipe.items():
        cfg.merge_from_list([f"MODEL.{key}", value])
    return build_model(cfg)


@pytest.mark.parametrize("name", RECIPES)
def test_names_and_shapes(name, golden_json, monkeypatch):
    # Filling 30 million weights takes longer than everything else here.
    for init in ("kaiming_normal_", "kaiming_uniform_", "xavier_uniform_", "normal_"):
        monkeypatch.setattr(torch.nn.init, init, lambda tensor, *args, **kwargs: tensor)
    state = {key: list(value.shape) for key, value in build(RECIPES[name]).state_dict().items()}
    assert state == golden_json(f"state_dict_{name}")


@pytest.mark.parametrize("strict", [True, False])
def test_anchors_in_old_checkpoints_are_tolerated(tiny_cfg, strict):
    model = build_model(tiny_cfg("RetinaNet"))
    state = {key: value.clone() for key, value in model.state_dict().items()}
    for level in range(5):
        state[f"head.anchor_generator.cell_anchors.{level}"] = torch.full((6, 4), 7.0)
    missing, unexpected = model.load_state_dict(state, strict=strict)
    assert not missing and not unexpected
    assert "head.anchor_generator.cell_anchors.0" in state  # the caller's dict is left alone
    anchors = next(iter(model.head.anchor_generator.cell_anchors))
    assert not (anchors == 7).any()


def test_old_checkpoint_files_load_without_complaint(tiny_cfg, tmp_path, caplog):
    model = build_model(tiny_cfg("RetinaNet"))
    state = model.state_dict()
    state["head.anchor_generator.cell_anchors.0"] = torch.zeros(6, 4)
    torch.save({"model": state}, tmp_path / "old.pth")
    DetectionCheckpointer(model).load(str(tmp_path / "old.pth"))
    assert not [record for record in caplog.records if "anchor" in record.getMessage()]
