"""What of a network of timm is trained, and how fast."""

import pytest
import torch
from detectron2.modeling import build_backbone, build_model
from onenet.engine.optimizer import build_optimizer
from onenet.errors import ConfigError

timm = pytest.importorskip("timm")

FREEZE_AT, FREEZE_BN = "MODEL.BACKBONE.FREEZE_AT", "MODEL.TIMM.FREEZE_BN"


@pytest.fixture
def weights(tmp_path):
    """Make the keys for a network with random weights in a file."""

    def make(name="resnet18"):
        torch.manual_seed(0)
        torch.save(timm.create_model(name).state_dict(), tmp_path / f"{name}.pth")
        return ["MODEL.TIMM.NAME", name, "MODEL.TIMM.WEIGHTS", str(tmp_path / f"{name}.pth")]

    return make


def trained(backbone):
    return {name.split(".")[1] for name, p in backbone.named_parameters() if p.requires_grad}


@pytest.mark.parametrize(
    ("freeze_at", "expected"),
    [
        (0, {"conv1", "bn1", "layer1", "layer2", "layer3", "layer4"}),
        (1, {"layer1", "layer2", "layer3", "layer4"}),
        (3, {"layer3", "layer4"}),
        (5, set()),
    ],
)
def test_what_leads_to_the_feature_is_frozen(timm_cfg, weights, freeze_at, expected):
    backbone = build_backbone(timm_cfg("CenterNet", *weights(), FREEZE_AT, freeze_at))
    assert trained(backbone) == expected


@pytest.mark.parametrize("features", [["res2", "res3"], ["res4", "res5"]])
def test_whichever_features_are_wanted(timm_cfg, weights, features):
    options = [*weights(), "MODEL.TIMM.OUT_FEATURES", features, FREEZE_AT, 3]
    backbone = build_backbone(timm_cfg("CenterNet", *options))
    assert trained(backbone) == ({"layer3", "layer4"} if "res5" in features else set())


NAMES = ["mobilenetv3_small_050", "tf_efficientnet_lite0", "resnet18"]


def train_a_step(backbone):
    """After an evaluation, as training goes on."""
    backbone.eval().train()
    optimizer = torch.optim.SGD(backbone.parameters(), 0.1)
    features = backbone(torch.rand(2, 3, 64, 96))
    sum(feature.square().sum() for feature in features.values()).backward()
    optimizer.step()


@pytest.mark.parametrize("name", NAMES)
def test_a_step_leaves_the_frozen_feature(timm_cfg, weights, name):
    backbone = build_backbone(timm_cfg("CenterNet", *weights(name), FREEZE_AT, 3))
    images = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        before = backbone.eval()(images)
    train_a_step(backbone)
    with torch.no_grad():
        after = backbone.eval()(images)
    assert after["res3"].equal(before["res3"])
    assert not after["res4"].equal(before["res4"])


@pytest.mark.parametrize("name", NAMES)
def test_a_step_leaves_frozen_batch_norms(timm_cfg, weights, name):
    keys = [FREEZE_AT, 0, FREEZE_BN, True]
    backbone = build_backbone(timm_cfg("CenterNet", *weights(name), *keys))
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    train_a_step(backbone)
    after = backbone.state_dict()
    changed = {key.rpartition(".")[0] for key in before if not before[key].equal(after[key])}
    norms = {
        name
        for name, module in backbone.named_modules()
        if isinstance(module, torch.nn.BatchNorm2d)
    }
    assert norms and changed and not changed & norms


def test_under_a_pyramid(timm_cfg, weights, make_inputs):
    model = build_model(timm_cfg("FCOS", *weights(), FREEZE_AT, 2))
    sum(model(make_inputs()).values()).backward()
    without = {name for name, p in model.named_parameters() if p.grad is None}
    assert without and all(n.startswith("backbone.bottom_up.body.") for n in without)
    assert {name.split(".")[3] for name in without} == {"conv1", "bn1", "layer1"}


def test_random_weights_are_trained(timm_cfg):
    backbone = build_backbone(timm_cfg("CenterNet", FREEZE_AT, 3))
    assert all(p.requires_grad for p in backbone.parameters())


def test_a_trained_detector_stays_frozen(timm_cfg, weights):
    options = [*weights(), FREEZE_AT, 3, "MODEL.WEIGHTS", "model_final.pth"]
    assert trained(build_backbone(timm_cfg("CenterNet", *options))) == {"layer3", "layer4"}


def test_without_memory_for_weights(timm_cfg, weights):
    with torch.device("meta"):
        backbone = build_backbone(timm_cfg("CenterNet", *weights(), FREEZE_AT, 3))
    assert trained(backbone) == {"layer3", "layer4"}


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            [FREEZE_AT, 1],
            'MODEL.BACKBONE.FREEZE_AT: convnext_atto has no feature "res1", only res2',
        ),
        ([FREEZE_AT, 0, FREEZE_BN, True], "FREEZE_BN True: convnext_atto has no batch norm"),
    ],
)
def test_nothing_to_freeze(timm_cfg, weights, keys, message):
    with pytest.raises(ConfigError, match=message):
        build_backbone(timm_cfg("CenterNet", *weights("convnext_atto"), *keys))


@pytest.mark.parametrize("head", ["CenterNet", "FCOS"])
def test_a_learning_rate_for_the_backbone(timm_cfg, weights, head):
    options = ["SOLVER.BACKBONE_MULTIPLIER", 0.3, "SOLVER.BASE_LR", 0.001, FREEZE_AT, 2]
    cfg = timm_cfg(head, *weights(), *options, "MODEL.OneNet.DECONV_CHANNEL", [512, 16, 16, 16])
    model = build_model(cfg)
    rates = {
        id(p): group["lr"]
        for group in build_optimizer(cfg, model).param_groups
        for p in group["params"]
    }
    for name, parameter in model.named_parameters():
        expected = 0.0003 if name.startswith("backbone.") else 0.001
        assert rates.get(id(parameter)) == (
            pytest.approx(expected) if parameter.requires_grad else None
        )
