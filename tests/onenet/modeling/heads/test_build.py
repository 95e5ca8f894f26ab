import pytest
import torch
from detectron2.layers import ShapeSpec
from onenet import ConfigError, build_head
from onenet.modeling.heads import (
    HEADS,
    CornerNetHead,
    FCOSHead,
    RetinaNetHead,
    SingleLevelHead,
)

TYPES = {
    "CenterNet": SingleLevelHead,
    "CornerNet": CornerNetHead,
    "FCOS": FCOSHead,
    "RetinaNet": RetinaNetHead,
}


def shapes(cfg, **changes):
    """The features that a config asks for; ``p5={"stride": 16}`` changes one."""
    onenet = cfg.MODEL.OneNet
    result = {}
    for index, name in enumerate(onenet.IN_FEATURES):
        known = {"channels": 8 * 2**index, "stride": 4 * 2**index}
        if onenet.HEAD in ("FCOS", "RetinaNet"):
            known = {"channels": 16, "stride": 8 * 2**index}
        result[name] = ShapeSpec(**{**known, **changes.get(name, {})})
    return result


def features(cfg, size=64):
    return [
        torch.randn(2, shape.channels, -(-size // shape.stride), -(-size // shape.stride))
        for shape in shapes(cfg).values()
    ]


@pytest.mark.parametrize("name", HEADS)
def test_every_head(tiny_cfg, name):
    quality = name != "CornerNet"
    cfg = tiny_cfg(name, "MODEL.OneNet.CENTERNESS", quality)
    head = build_head(cfg, shapes(cfg))
    assert isinstance(head, TYPES[name])
    maps = features(cfg)
    branches, priors = head.eval()(maps)
    (predictions,) = branches.values()
    count = len(priors)
    assert sum(priors.level_sizes) == count
    assert predictions.logits.shape == (2, count, 3)
    assert predictions.boxes.shape == (2, count, 4)
    assert not quality or predictions.quality.shape == (2, count)
    assert priors.boxes.shape == (count, 4) and priors.points.shape == (count, 2)
    assert priors.stride.shape == priors.level.shape == (count,)
    assert priors.level.dtype == torch.int64 and priors.stride.dtype == torch.float32
    torch.testing.assert_close(priors.points, (priors.boxes[:, :2] + priors.boxes[:, 2:]) / 2)
    starts = torch.tensor((0, *priors.level_sizes)).cumsum(0)
    for level, (start, end) in enumerate(zip(starts[:-1], starts[1:], strict=True)):
        assert (priors.level[start:end] == level).all()
        assert priors.stride[start:end].unique().numel() == 1


@pytest.mark.parametrize("name", HEADS)
def test_rows_of_samples_are_contiguous(tiny_cfg, name):
    cfg = tiny_cfg(name)
    head = build_head(cfg, shapes(cfg)).eval()
    branches, _ = head(features(cfg))
    (predictions,) = branches.values()
    assert predictions.logits.transpose(1, 2).is_contiguous()


@pytest.mark.parametrize("name", HEADS)
def test_heads_do_not_synchronise(tiny_cfg, name):
    cfg = tiny_cfg(name)
    head = build_head(cfg, shapes(cfg)).to("meta")
    branches, priors = head([x.to("meta") for x in features(cfg)])
    (predictions,) = branches.values()
    assert predictions.boxes.device.type == priors.boxes.device.type == "meta"


@pytest.mark.parametrize("name", HEADS)
def test_half_precision_boxes_are_decoded_in_float32(tiny_cfg, name):
    cfg = tiny_cfg(name)
    head = build_head(cfg, shapes(cfg)).eval()
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.no_grad():
        branches, priors = head(features(cfg))
        (predictions,) = branches.values()
    assert predictions.boxes.dtype == priors.boxes.dtype == torch.float32


@pytest.mark.parametrize("name", HEADS)
def test_predictions_are_differentiable(tiny_cfg, name):
    cfg = tiny_cfg(name, "MODEL.OneNet.CENTERNESS", name != "CornerNet")
    head = build_head(cfg, shapes(cfg))
    maps = [x.requires_grad_() for x in features(cfg)]
    branches, _ = head(maps)
    (predictions,) = branches.values()
    for output in filter(torch.is_tensor, vars(predictions).values()):
        grads = torch.autograd.grad(output.sum(), maps, retain_graph=True)
        assert all(grad.abs().sum() > 0 for grad in grads)


@pytest.mark.parametrize("name", ["FCOS", "RetinaNet"])
def test_strides_that_the_backbone_does_not_know_are_those_of_the_config(tiny_cfg, name):
    cfg = tiny_cfg(name)
    unknown = {feature: {"stride": None} for feature in cfg.MODEL.OneNet.IN_FEATURES}
    assert build_head(cfg, shapes(cfg, **unknown)).strides == (8, 16, 32, 64, 128)


@pytest.mark.parametrize(
    "head, options, changes, message",
    [
        ("CenterNat", {}, {}, 'MODEL.OneNet.HEAD: unknown name "CenterNat".*"CenterNet"'),
        ("FCOS", {}, {"p4": {"stride": 32}}, r"FEATURES_STRIDE \[8, 16, .*\[8, 32, 32, 64, 128\]"),
        ("FCOS", {"FEATURES_STRIDE": [8, 16]}, {}, "FEATURES_STRIDE has 2 entries for 5"),
        ("FCOS", {"NUM_STAGES": 2}, {}, 'NUM_STAGES: the FCOS head has one stage, got 2.*"CenterN'),
        ("RetinaNet", {"NUM_STAGES": 3}, {}, "NUM_STAGES: the RetinaNet head"),
        ("RetinaNet", {}, {"p5": {"channels": 7}}, "IN_FEATURES.*same number of channels.*'p5': 7"),
        ("FCOS", {"CONV_NORM": "LN"}, {}, 'CONV_NORM: unknown name "LN"'),
        ("FCOS", {"CONV_CHANNELS": 48}, {}, "CONV_CHANNELS must be a multiple of 32.*got 48"),
        ("FCOS", {"NUM_CONV": 0}, {}, "NUM_CONV must be at least 1, got 0"),
        ("CenterNet", {}, {"res2": {"stride": 8}}, r"\[4, 8, 16, 32\].*\[8, 8, 16, 32\]"),
        ("CenterNet", {"NUM_STAGES": 0}, {}, "NUM_STAGES must be at least 1, got 0"),
        ("CenterNet", {"ACTIVATION": "rleu"}, {}, 'ACTIVATION: unknown name "rleu".*"relu"'),
        ("CenterNet", {"HEAD_INIT": "Prior "}, {}, 'HEAD_INIT: unknown name "Prior ".*"prior"'),
        ("CenterNet", {"DECONV_CHANNEL": [99, 8, 8, 8]}, {}, "DECONV_CHANNEL starts with 99.*64"),
        ("CenterNet", {"IN_FEATURES": ["res4", "res5"]}, {}, "four MODEL.OneNet.IN_FEATURES"),
        ("CornerNet", {"NUM_STAGES": 2}, {}, "NUM_STAGES is for heads .* set it to 1,"),
        ("CornerNet", {"CENTERNESS": True}, {}, "CENTERNESS is for heads .* set it to False,"),
        ("CornerNet", {"DECONV_CHANNEL": [99, 8, 8, 8]}, {}, "DECONV_CHANNEL starts with 99.*64"),
    ],
)  # fmt: skip
def test_bad_configs_are_named(tiny_cfg, head, options, changes, message):
    cfg = tiny_cfg("CenterNet" if head == "CenterNat" else head)
    known = shapes(cfg, **changes)
    cfg.MODEL.OneNet.HEAD = head
    for key, value in options.items():
        cfg.MODEL.OneNet[key] = value
    if head == "CenterNet" and len(cfg.MODEL.OneNet.IN_FEATURES) != 4:
        known = {name: ShapeSpec(channels=8) for name in cfg.MODEL.OneNet.IN_FEATURES}
    with pytest.raises(ConfigError, match=message) as error:
        build_head(cfg, known)
    assert "\n" not in str(error.value)


def test_a_feature_that_the_backbone_lacks_is_named(tiny_cfg):
    cfg = tiny_cfg("FCOS", "MODEL.OneNet.IN_FEATURES", ["p3", "res8"])
    with pytest.raises(ConfigError, match='no feature "res8".*p3, p4'):
        build_head(cfg, {f"p{i}": ShapeSpec(channels=16, stride=2**i) for i in range(3, 8)})


def test_levels_with_different_numbers_of_anchors(tiny_cfg):
    cfg = tiny_cfg("RetinaNet")
    cfg.MODEL.ANCHOR_GENERATOR.SIZES = [[8], [16], [32], [64], [128, 256]]
    with pytest.raises(ConfigError, match=r"ANCHOR_GENERATOR.*\[3, 3, 3, 3, 6\]"):
        build_head(cfg, shapes(cfg))
