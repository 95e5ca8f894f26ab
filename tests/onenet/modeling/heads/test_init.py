import math

import pytest
import torch
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from onenet import ConfigError
from onenet.modeling.heads import FCOSHead, RetinaNetHead, SingleLevelHead
from onenet.modeling.heads.deconv import DeformableUpSample, bilinear_kernel

pytestmark = pytest.mark.numeric

STRIDES = (8, 16, 32, 64, 128)


def single_level(deformable):
    return SingleLevelHead(
        in_channels=[64, 128, 256, 512], num_classes=80, channels=[512, 256, 128, 64],
        deformable=deformable, init="published",
    )  # fmt: skip


def fcos(**kwargs):
    return FCOSHead(**{"in_channels": 256, "num_classes": 80, "strides": STRIDES, **kwargs})


def retinanet(**kwargs):
    generator = DefaultAnchorGenerator(
        sizes=[[32, 40, 50]], aspect_ratios=[[0.5, 1.0, 2.0]], strides=STRIDES, offset=0.0
    )
    head = {"in_channels": 256, "num_classes": 80, "strides": STRIDES, **kwargs}
    return RetinaNetHead(anchor_generator=generator, **head)


PUBLISHED = {
    "onenet.res18.dcn": lambda: single_level(True),
    "onenet.res18.nodcn": lambda: single_level(False),
    "onenet.fcos.res50": lambda: fcos(init="published"),
    "onenet.retinanet.res50": lambda: retinanet(init="published"),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_init(golden_json, name):
    facts, head = golden_json("head_init_facts")[name], PUBLISHED[name]()
    parameters = dict(head.named_parameters())
    assert parameters.keys() == facts.keys()
    for key, parameter in parameters.items():
        fact = facts[key]
        assert list(parameter.shape) == fact["shape"]
        largest = parameter.abs().max().item()
        if "xavier_uniform_bound" in fact:
            bound = fact["xavier_uniform_bound"]
            assert 0.95 * bound < largest < 1.001 * bound
            assert parameter.std().item() == pytest.approx(bound / 3**0.5, rel=0.1)
        elif fact["std"] == 0:
            assert (parameter == parameter.flatten()[0]).all()
            assert parameter.mean().item() == pytest.approx(fact["mean"], rel=2e-3)
        else:  # a bias as PyTorch starts it
            fan_in = parameters[key.replace("bias", "weight")][0].numel()
            assert 0 < largest <= fan_in**-0.5 and fact["absmax"] <= fan_in**-0.5


@pytest.mark.parametrize("prior_prob", [0.01, 0.1])
@pytest.mark.parametrize("init", ["prior", "published"])
def test_initial_scores(prior_prob, init):
    for head in (
        fcos(init=init, prior_prob=prior_prob),
        retinanet(init=init, prior_prob=prior_prob),
    ):
        assert torch.allclose(head.cls_score.bias.sigmoid(), torch.tensor(prior_prob))


@pytest.mark.parametrize("build", [fcos, retinanet])
def test_prior_init_predicts_about_the_prior_boxes(build):
    head = build(in_channels=32, channels=64, num_convs=2)
    features = [torch.randn(1, 32, size, size) for size in (16, 8, 4, 2, 1)]
    with torch.no_grad():
        branches, priors = head(features)
        (predictions,) = branches.values()
    error = (predictions.boxes[0] - priors.boxes).abs().max(dim=1).values
    side = (priors.boxes[:, 2:] - priors.boxes[:, :2]).amax(dim=1)
    assert (error / side).mean() < 0.3
    assert predictions.logits.sigmoid().mean().item() == pytest.approx(0.01, rel=0.5)


def test_prior_init_of_the_single_level_head():
    head = SingleLevelHead(in_channels=[8, 16, 32, 64], num_classes=5, channels=[64, 32, 16, 16])
    features = [torch.randn(2, 8 * 2**i, 32 // 2**i, 32 // 2**i) for i in range(4)]
    branches, priors = head(features)
    (predictions,) = branches.values()
    assert (predictions.boxes - priors.boxes).abs().mean() < 3
    assert predictions.logits.sigmoid().mean().item() == pytest.approx(0.01, rel=0.5)
    for step in (head.deconv.deconv1, head.deconv.deconv2, head.deconv.deconv3):
        assert (step.dcn_offset.weight == 0).all() and (step.dcn_offset.bias == 0).all()


@pytest.mark.parametrize("kernel", [2, 3, 4])
def test_up_sampling_starts_as_bilinear_interpolation(kernel):
    layer = DeformableUpSample(3, 2, kernel, modulated=True)
    layer.reset_parameters()
    ramp = torch.arange(6.0).expand(1, 2, 6, 6)
    with torch.no_grad():
        up = layer.up_sample(ramp)
    assert up.shape == (1, 2, 12, 12)
    inner = up[:, :, 3:-3, 3:-3]
    if kernel == 4:
        expected = torch.nn.functional.interpolate(ramp, scale_factor=2, mode="bilinear")
        torch.testing.assert_close(inner, expected[:, :, 3:-3, 3:-3])
    assert (inner.diff(dim=-1) >= 0).all() and (inner.std(dim=2) < 1e-5).all()


def test_bilinear_kernel():
    expected = torch.outer(*[torch.tensor([0.25, 0.75, 0.75, 0.25])] * 2)
    assert bilinear_kernel(4).equal(expected)


def test_unknown_init_is_named():
    for build in (fcos, retinanet):
        with pytest.raises(ConfigError, match='HEAD_INIT: unknown name "pulished".*"published"'):
            build(init="pulished", channels=32, num_convs=1)


def test_initial_score_of_the_paper():
    assert fcos().cls_score.bias[0].item() == pytest.approx(-math.log(99))
