"""Networks of timm as backbones."""

import sys

import pytest
import torch
from detectron2.modeling import build_backbone, build_model
from onenet.engine import check_weights
from onenet.errors import ConfigError, UserError

pytestmark = pytest.mark.numeric

timm = pytest.importorskip("timm")

NAME = "mobilenetv3_small_050"  # of timm_cfg


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("it wants to download something")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)


@pytest.mark.parametrize("name", [NAME, "resnet18", "convnext_atto", "mobilenetv2_050.lamb_in1k"])
def test_features_have_the_names_of_a_resnet(timm_cfg, name):
    backbone = build_backbone(timm_cfg("CenterNet", "MODEL.TIMM.NAME", name)).eval()
    shapes = backbone.output_shape()
    strides = {key: shape.stride for key, shape in shapes.items()}
    assert strides == {"res2": 4, "res3": 8, "res4": 16, "res5": 32}
    features = backbone(torch.rand(2, 3, 96, 160))
    for key, shape in shapes.items():
        size = (96 // shape.stride, 160 // shape.stride)
        assert features[key].shape == (2, shape.channels, *size)


def test_what_is_behind_the_last_feature_is_left_out(timm_cfg):
    options = ["MODEL.TIMM.NAME", "resnet18"]
    whole = build_backbone(timm_cfg("CenterNet", *options))
    options += ["MODEL.TIMM.OUT_FEATURES", ["res2", "res3"]]
    few = build_backbone(timm_cfg("CenterNet", *options))
    assert list(few.output_shape()) == ["res2", "res3"]
    assert (few.size_divisibility, whole.size_divisibility) == (8, 32)
    assert len(list(few.parameters())) < len(list(whole.parameters()))


@pytest.mark.parametrize("head", ["CenterNet", "FCOS", "RetinaNet"])
def test_under_every_head(timm_cfg, make_inputs, head):
    model = build_model(timm_cfg(head))
    losses = model(make_inputs())
    sum(losses.values()).backward()
    assert not [name for name, p in model.named_parameters() if p.grad is None]
    with torch.no_grad():
        found = model.eval()(make_inputs())
    assert len(found[0]["instances"]) > 0


def test_building_it_leaves_its_statistics_alone(timm_cfg):
    backbone = build_backbone(timm_cfg())
    assert backbone.training and backbone.body.bn1.training
    assert not backbone.body.bn1.running_mean.any()


def test_without_memory_for_weights(timm_cfg):
    """As a run checks its weights beforehand."""
    with torch.device("meta"):
        backbone = build_backbone(timm_cfg())
    assert {p.device.type for p in backbone.parameters()} == {"meta"}


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_local_weights(timm_cfg, tmp_path, suffix):
    path = str(tmp_path / f"weights.{suffix}")
    expected = timm.create_model(NAME).state_dict()
    if suffix == "pth":
        torch.save({"state_dict": expected}, path)
    else:
        from safetensors.torch import save_file

        save_file(expected, path)
    loaded = build_backbone(timm_cfg("CenterNet", "MODEL.TIMM.WEIGHTS", path)).body.state_dict()
    assert loaded and all(value.equal(expected[key]) for key, value in loaded.items())


def test_checking_local_weights_beforehand_is_quiet(timm_cfg, tmp_path, recwarn):
    path = str(tmp_path / "weights.pth")
    torch.save(timm.create_model(NAME).state_dict(), path)
    recwarn.clear()
    check_weights(timm_cfg("CenterNet", "MODEL.TIMM.WEIGHTS", path))
    assert not recwarn.list


def test_a_trained_detector_does_not_ask_for_them(timm_cfg):
    options = ["MODEL.TIMM.WEIGHTS", "gone.pth", "MODEL.WEIGHTS", "model_final.pth"]
    build_backbone(timm_cfg("CenterNet", *options))


def test_weights_of_which_timm_changes_the_names(timm_cfg, tmp_path):
    path = str(tmp_path / "weights.pth")
    whole = timm.create_model("convnext_atto").eval()
    torch.save(whole.state_dict(), path)
    options = ["MODEL.TIMM.NAME", "convnext_atto", "MODEL.TIMM.WEIGHTS", path]
    backbone = build_backbone(timm_cfg("CenterNet", *options)).double().eval()
    images = torch.rand(1, 3, 64, 64).double()
    with torch.no_grad():
        expected = whole.double().forward_intermediates(images, intermediates_only=True)
        torch.testing.assert_close(backbone(images)["res5"], expected[-1])


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("NAME", "mobilenetv3_smal_050", 'Did you mean "mobilenetv3_small_050"'),
        ("NAME", "hf-hub:timm/resnet18", "has no network"),
        ("NAME", "vit_tiny_patch16_224", r"the strides \[16, 16, 16\]"),
        ("NAME", "swin_tiny_patch4_window7_224", "no images of any size"),
        ("OUT_FEATURES", ["res2", "res7"], 'no feature "res7", only res1, res2'),
        ("WEIGHTS", "gone.safetensors", 'no file "gone.safetensors"'),
    ],
)
def test_what_cannot_be_had_is_named(timm_cfg, key, value, message):
    with pytest.raises(UserError, match=message) as raised:
        build_backbone(timm_cfg("CenterNet", f"MODEL.TIMM.{key}", value))
    assert "\n" not in str(raised.value)


def test_weights_of_another_network(timm_cfg, tmp_path):
    path = str(tmp_path / "weights.pth")
    torch.save(timm.create_model("mobilenetv2_050").state_dict(), path)
    with pytest.raises(UserError, match=f"is not for {NAME}: .* of its weights are not in it"):
        build_backbone(timm_cfg("CenterNet", "MODEL.TIMM.WEIGHTS", path))


def test_damaged_weights(timm_cfg, tmp_path):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"no such thing")
    with pytest.raises(UserError, match="cannot read the weights"):
        build_backbone(timm_cfg("CenterNet", "MODEL.TIMM.WEIGHTS", str(path)))


def test_pyramid_on_features_that_are_not_there(timm_cfg):
    with pytest.raises(ConfigError, match='no feature "res5"'):
        build_backbone(timm_cfg("FCOS", "MODEL.TIMM.OUT_FEATURES", ["res3", "res4"]))


def test_without_timm(timm_cfg, monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(UserError, match="pip install timm"):
        build_backbone(timm_cfg())
