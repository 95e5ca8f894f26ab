from pathlib import Path

import pytest
from assigners import add_assigners_config
from onenet import ConfigError
from onenet.engine import setup_cfg
from onenet.engine.config.stock_keys import unread_keys

CONFIGS = Path(__file__).parents[4] / "configs"
ONENET = ("MODEL.META_ARCHITECTURE", "OneNet", "MODEL.DEVICE", "cpu")


@pytest.mark.parametrize(
    ("key", "word"),
    [
        ("MODEL.MASK_ON", "boxes"),
        ("MODEL.KEYPOINT_ON", "boxes"),
        ("MODEL.LOAD_PROPOSALS", "proposals"),
        ("TEST.AUG.ENABLED", "test-time augmentation"),
    ],
)
def test_what_is_not_here_is_refused(key, word):
    with pytest.raises(ConfigError, match=rf"^{key} True: .*{word}.*; set it to False$"):
        setup_cfg(opts=[*ONENET, key, "True"])


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("MODEL.ROI_HEADS.NUM_CLASSES", "3"),
        ("MODEL.RETINANET.NUM_CLASSES", "3"),
        ("MODEL.FPN.NORM", "GN"),
        ("INPUT.MASK_FORMAT", "bitmask"),
        ("DATASETS.PROPOSAL_FILES_TRAIN", "('a.pkl',)"),
        ("DATALOADER.REPEAT_THRESHOLD", "0.1"),
        ("SOLVER.MOMENTUM", "0.8"),
        ("SOLVER.NESTEROV", "True"),
        ("TEST.KEYPOINT_OKS_SIGMAS", "[0.1]"),
        ("VIS_PERIOD", "20"),
    ],
)
def test_what_nothing_reads_is_told(key, value):
    (told,) = unread_keys(setup_cfg(opts=[*ONENET, key, value]))
    assert told.startswith(f"{key} ")
    assert "has no effect" in told


@pytest.mark.parametrize(
    "options",
    [
        ("SOLVER.MOMENTUM", "0.8", "SOLVER.OPTIMIZER", "SGD"),
        (
            *("DATALOADER.REPEAT_THRESHOLD", "0.1"),
            *("DATALOADER.SAMPLER_TRAIN", "RepeatFactorTrainingSampler"),
        ),
        ("MODEL.FPN.NORM", "GN", "MODEL.BACKBONE.NAME", "build_retinanet_resnet_fpn_backbone"),
        ("MODEL.RETINANET.NMS_THRESH_TEST", "0.6"),
        ("MODEL.RETINANET.NUM_CLASSES", "3", "MODEL.META_ARCHITECTURE", "RetinaNet"),
        ("MODEL.BACKBONE.FREEZE_AT", "4"),
        (
            *("MODEL.BACKBONE.FREEZE_AT", "4", "MODEL.BACKBONE.NAME", "build_timm_backbone"),
            *("MODEL.TIMM.WEIGHTS", "timm.pth"),
        ),
    ],
)
def test_what_is_read_is_not(options):
    assert unread_keys(setup_cfg(opts=[*ONENET, *options])) == []


@pytest.mark.parametrize("kind", ["timm", "basic_resnet", "timm_fpn"])
def test_a_backbone_that_freezes_nothing(kind):
    backbone = ("MODEL.BACKBONE.NAME", f"build_{kind}_backbone")
    cfg = setup_cfg(opts=[*ONENET, *backbone, "MODEL.BACKBONE.FREEZE_AT", "3"])
    assert unread_keys(cfg)[0].startswith("MODEL.BACKBONE.FREEZE_AT 3 ")


def test_clipping_to_nothing():
    clip = "SOLVER.CLIP_GRADIENTS."
    options = [f"{clip}ENABLED", "True", f"{clip}CLIP_TYPE", "full_model", f"{clip}CLIP_VALUE", "0"]
    assert unread_keys(setup_cfg(opts=[*ONENET, *options]))[0].startswith(f"{clip}ENABLED True ")


@pytest.mark.parametrize("file", sorted(CONFIGS.rglob("*.yaml")), ids=lambda file: file.stem)
def test_no_recipe_has_any(file):
    cfg = setup_cfg(str(file), ["MODEL.DEVICE", "cpu"], add_configs=[add_assigners_config])
    assert unread_keys(cfg) == []
