"""Heads and layers with the weights of the reference compute what the reference computes."""

import pytest
import torch
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from onenet.modeling.heads import FCOSHead, RetinaNetHead, SingleLevelHead
from onenet.modeling.heads.deconv import DeformableUpSample, PlainUpSample

STRIDES = (8, 16, 32, 64, 128)
SIZES = [[size * 2 ** (octave / 3) for octave in range(3)] for size in (32, 64, 128, 256, 512)]
TOLERANCE = {"rtol": 1e-5, "atol": 1e-4}


def run(module, case, inputs):
    missing, unexpected = module.load_state_dict(case["state_dict"], strict=False)
    assert not unexpected and all(key.endswith("num_batches_tracked") for key in missing)
    module.eval()
    with torch.no_grad():
        return module(inputs)


def assert_outputs(output, case):
    branches, priors = output
    (predictions,) = branches.values()
    logits, boxes = predictions.logits.transpose(1, 2), predictions.boxes.transpose(1, 2)
    torch.testing.assert_close(logits, case["out_logits"].flatten(2), **TOLERANCE)
    torch.testing.assert_close(boxes, case["out_boxes"].flatten(2), **TOLERANCE)
    assert len(priors) == sum(priors.level_sizes) == predictions.logits.shape[1]
    return priors


@pytest.mark.golden("onenet_heads", tag="centernet")
def test_single_level_head(case):
    head = SingleLevelHead(
        in_channels=case["backbone_channels"].tolist(),
        num_classes=case["num_classes"],
        channels=case["deconv_channels"].tolist(),
        deformable="dcn_" in case["tag"],
        modulated="plain" not in case["tag"],
    )
    priors = assert_outputs(run(head, case, [case[f"in{i}"] for i in range(4)]), case)
    assert priors.points.T.equal(case["out_locations"][0].flatten(1))


def tower_arguments(case):
    return {
        "in_channels": case["fpn_channels"],
        "num_classes": case["num_classes"],
        "num_convs": case["num_conv"],
        "channels": case["conv_channels"],
        "strides": STRIDES,
    }


@pytest.mark.golden("onenet_heads", tag="fcos")
def test_fcos_head(case):
    head = FCOSHead(norm=case["conv_norm"], **tower_arguments(case))
    priors = assert_outputs(run(head, case, [case[f"in{i}"] for i in range(5)]), case)
    assert priors.points.T.equal(case["out_locations"][0])
    assert priors.level.equal(case["out_fpn_levels"][0, 0].long())


@pytest.mark.golden("onenet_heads", tag="retinanet")
def test_retinanet_head(case):
    generator = DefaultAnchorGenerator(
        sizes=SIZES, aspect_ratios=[[0.5, 1.0, 2.0]], strides=STRIDES, offset=0.0
    )
    head = RetinaNetHead(anchor_generator=generator, **tower_arguments(case))
    priors = assert_outputs(run(head, case, [case[f"in{i}"] for i in range(5)]), case)
    torch.testing.assert_close(priors.boxes.T, case["out_anchors"][0], **TOLERANCE)


@pytest.mark.golden("onenet_heads", tag="dcn_deconv")
def test_deformable_up_sampling(case):
    layer = DeformableUpSample(case["in_planes"], case["out_planes"], 4, bool(case["modulated"]))
    torch.testing.assert_close(run(layer, case, case["in0"]), case["out_y"], **TOLERANCE)


@pytest.mark.golden("onenet_heads", tag="cn_deconv")
def test_plain_up_sampling(case):
    layer = PlainUpSample(case["in_planes"], case["out_planes"], 4)
    torch.testing.assert_close(run(layer, case, case["in0"]), case["out_y"], **TOLERANCE)
