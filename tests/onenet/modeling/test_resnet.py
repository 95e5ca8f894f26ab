import pytest
import torch
from detectron2.modeling import build_backbone
from onenet import ConfigError


@pytest.mark.parametrize("depth, blocks", [(18, [2, 2, 2, 2]), (34, [3, 4, 6, 3])])
def test_basic_resnet(tiny_cfg, depth, blocks):
    backbone = build_backbone(tiny_cfg("CenterNet", "MODEL.RESNETS.DEPTH", depth))
    assert [len(getattr(backbone, name)) for name in ("res2", "res3", "res4", "res5")] == blocks
    shapes = {name: (s.channels, s.stride) for name, s in backbone.output_shape().items()}
    assert shapes == {"res2": (8, 4), "res3": (16, 8), "res4": (32, 16), "res5": (64, 32)}
    features = backbone(torch.rand(1, 3, 64, 96))
    for name, (channels, stride) in shapes.items():
        assert features[name].shape == (1, channels, 64 // stride, 96 // stride)


def test_basic_resnet_has_the_parameter_names_of_detectron2(tiny_cfg):
    cfg = tiny_cfg("CenterNet", "MODEL.RESNETS.NORM", "FrozenBN")
    ours = build_backbone(cfg)
    cfg.merge_from_list(["MODEL.BACKBONE.NAME", "build_resnet_backbone"])
    # The width that Detectron2 insists on.
    cfg.MODEL.RESNETS.STEM_OUT_CHANNELS = cfg.MODEL.RESNETS.RES2_OUT_CHANNELS = 64
    assert ours.state_dict().keys() == build_backbone(cfg).state_dict().keys()


def test_feature_pyramid(tiny_cfg):
    backbone = build_backbone(tiny_cfg("FCOS"))
    shapes = {name: (s.channels, s.stride) for name, s in backbone.output_shape().items()}
    assert shapes == {f"p{level}": (16, 2**level) for level in range(3, 8)}
    features = backbone(torch.rand(1, 3, 64, 96))
    assert [features[name].shape[-2:] for name in shapes] == [
        (8, 12), (4, 6), (2, 3), (1, 2), (1, 1)
    ]  # fmt: skip


def test_other_depths_are_named(tiny_cfg):
    with pytest.raises(ConfigError, match="MODEL.RESNETS.DEPTH must be one of 18, 34, got 50"):
        build_backbone(tiny_cfg("CenterNet", "MODEL.RESNETS.DEPTH", 50))
