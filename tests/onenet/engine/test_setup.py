import pickle
from argparse import Namespace

import pytest
from detectron2.config import CfgNode
from onenet import ConfigError, UserError
from onenet.engine import setup_cfg, setup_run
from onenet.engine.setup import check_names

ONENET = ["MODEL.META_ARCHITECTURE", "OneNet", "MODEL.DEVICE", "cpu"]


def test_defaults_are_frozen():
    cfg = setup_cfg()
    assert cfg.MODEL.OneNet.ASSIGNER.NAME == "MinCost"
    assert cfg.is_frozen()


def test_file_then_command_line(tmp_path):
    file = tmp_path / "file.yaml"
    file.write_text("MODEL: {OneNet: {NUM_CLASSES: 7}}\nSEED: 3")
    cfg = setup_cfg(str(file), ["SEED", "4"])
    assert (cfg.MODEL.OneNet.NUM_CLASSES, cfg.SEED) == (7, 4)


def test_a_config_can_be_sent_to_another_process():
    cfg = setup_cfg(opts=ONENET)
    copy = pickle.loads(pickle.dumps(cfg))
    assert copy == cfg
    assert copy.is_frozen()


def test_keys_of_further_packages():
    def add_config(cfg):
        cfg.EXTRA = CfgNode({"KEY": 1})

    assert setup_cfg(opts=["EXTRA.KEY", "2"], add_configs=[add_config]).EXTRA.KEY == 2


@pytest.mark.parametrize(
    ("key", "value", "hint"),
    [
        ("MODEL.META_ARCHITECTURE", "OneNett", "OneNet"),
        ("MODEL.BACKBONE.NAME", "build_resnet_backbon", "build_resnet_backbone"),
        ("MODEL.OneNet.HEAD", "Centernet", "CenterNet"),
        ("MODEL.OneNet.ASSIGNER.NAME", "Mincost", "MinCost"),
        ("MODEL.OneNet.ASSIGNER.SOLVER", "hungary", "hungarian"),
        ("MODEL.OneNet.CLASS_LOSS", "quality-focal", "quality_focal"),
        ("MODEL.OneNet.CLASS_TARGET", "IOU", "iou"),
        ("MODEL.OneNet.BOX_LOSS", "ciou", "l1_ciou"),
        ("SOLVER.OPTIMIZER", "AdamV", "ADAMW"),
    ],
)
def test_unknown_names(key, value, hint):
    with pytest.raises(ConfigError) as caught:
        setup_cfg(opts=[*ONENET, key, value])
    message = str(caught.value)
    assert "\n" not in message
    assert key in message
    assert f'"{value}"' in message
    assert f'Did you mean "{hint}"' in message


def test_other_meta_architectures_need_no_names_of_onenet(tiny_cfg):
    cfg = tiny_cfg()
    cfg.MODEL.META_ARCHITECTURE = "RetinaNet"
    cfg.MODEL.OneNet.HEAD = "none of ours"
    check_names(cfg)


def test_an_output_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    cfg = setup_cfg(opts=["OUTPUT_DIR", str(tmp_path / "file" / "run")])
    with pytest.raises(UserError, match="OUTPUT_DIR .*Not a directory"):
        setup_run(cfg, Namespace())


def test_no_path_of_a_config_keeps_its_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "file.yaml").write_text("OUTPUT_DIR: ~/run\nMODEL: {TIMM: {WEIGHTS: ~/timm.pth}}")
    cfg = setup_cfg("~/file.yaml", ["MODEL.WEIGHTS", "~/model.pth"])
    assert f"{tmp_path}/run" == cfg.OUTPUT_DIR
    assert f"{tmp_path}/model.pth" == cfg.MODEL.WEIGHTS
    assert f"{tmp_path}/timm.pth" == cfg.MODEL.TIMM.WEIGHTS


@pytest.mark.parametrize("key", ["OUTPUT_DIR", "MODEL.WEIGHTS", "MODEL.TIMM.WEIGHTS"])
def test_the_home_folder_of_nobody(key):
    with pytest.raises(ConfigError, match=f'{key} "~no.body/x".*"./~no.body/x"'):
        setup_cfg(opts=[key, "~no.body/x"])
