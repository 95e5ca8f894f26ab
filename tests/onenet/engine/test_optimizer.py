import copy

import pytest
import torch
from onenet import ConfigError
from onenet.engine import build_optimizer
from torch import nn

pytestmark = pytest.mark.numeric


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.backbone = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 4))
        self.backbone[2].requires_grad_(False)
        self.head = nn.Linear(4, 2)
        self.unlike_backbone = nn.Linear(2, 2)

    def forward(self, x):
        return self.unlike_backbone(self.head(self.backbone(x)))


@pytest.fixture
def model():
    return Model()


@pytest.fixture
def cfg(tiny_cfg):
    cfg = tiny_cfg()
    cfg.SOLVER.BASE_LR = 0.1
    cfg.SOLVER.WEIGHT_DECAY = 0.01
    return cfg


def clip_full_model(cfg, value=0.5):
    cfg.SOLVER.CLIP_GRADIENTS.ENABLED = True
    cfg.SOLVER.CLIP_GRADIENTS.CLIP_TYPE = "full_model"
    cfg.SOLVER.CLIP_GRADIENTS.CLIP_VALUE = value


def loss_of(model, step=0):
    torch.manual_seed(step)
    return (model(torch.randn(5, 3)) ** 2).sum() * 100


def train(model, optimizer, steps=3, before_step=lambda: None):
    for step in range(steps):
        optimizer.zero_grad()
        loss_of(model, step).backward()
        before_step()
        optimizer.step()
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def trainable(model):
    return [p for p in model.parameters() if p.requires_grad]


def test_every_trainable_parameter_once(cfg, model):
    optimizer = build_optimizer(cfg, model)
    found = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert sorted(found) == sorted(map(id, trainable(model)))


def settings(optimizer, model):
    """(learning rate, weight decay) of each trainable parameter."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return {
        names[id(p)]: (group["lr"], group["weight_decay"])
        for group in optimizer.param_groups
        for p in group["params"]
    }


def test_learning_rates_and_weight_decay(cfg, model):
    cfg.SOLVER.BACKBONE_MULTIPLIER = 0.2
    optimizer = build_optimizer(cfg, model)
    for name, found in settings(optimizer, model).items():
        lr = 0.1 * 0.2 if name.startswith("backbone.") else 0.1
        assert found == (pytest.approx(lr), 0.01), name  # norms and biases too, as officially
    assert [len(group["params"]) for group in optimizer.param_groups] == [4, 4]


def test_norms_and_biases_have_their_own_where_asked_for(cfg, model):
    cfg.SOLVER.BACKBONE_MULTIPLIER, cfg.SOLVER.BIAS_LR_FACTOR = 0.5, 2.0
    cfg.SOLVER.WEIGHT_DECAY_NORM, cfg.SOLVER.WEIGHT_DECAY_BIAS = 0.0, 0.003
    found = settings(build_optimizer(cfg, model), model)
    assert found["backbone.0.weight"] == pytest.approx((0.05, 0.01))
    assert found["backbone.0.bias"] == pytest.approx((0.1, 0.003))
    assert found["backbone.1.weight"] == pytest.approx((0.05, 0.0))  # a LayerNorm
    assert found["backbone.1.bias"] == pytest.approx((0.1, 0.003))
    assert found["head.weight"] == pytest.approx((0.1, 0.01))
    assert found["head.bias"] == pytest.approx((0.2, 0.003))


def test_the_decay_of_norms_alone(cfg, model):
    cfg.SOLVER.WEIGHT_DECAY_NORM = 0.0
    found = settings(build_optimizer(cfg, model), model)
    assert {name for name, (_, decay) in found.items() if decay == 0} == {
        "backbone.1.weight",
        "backbone.1.bias",
    }


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("WEIGHT_DECAY_NORM", "none"),
        ("WEIGHT_DECAY_BIAS", -0.1),
        ("WEIGHT_DECAY", None),
        ("BIAS_LR_FACTOR", -1.0),
    ],
)
def test_factors_that_are_none(cfg, model, key, value):
    cfg.SOLVER[key] = value
    with pytest.raises(ConfigError, match=f"SOLVER.{key} must be a number .*{value}"):
        build_optimizer(cfg, model)


def test_what_pytorch_refuses_is_a_config_error(cfg, model):
    cfg.SOLVER.OPTIMIZER, cfg.SOLVER.NESTEROV, cfg.SOLVER.MOMENTUM = "SGD", True, 0.0
    with pytest.raises(ConfigError, match="SOLVER: Nesterov momentum requires a momentum"):
        build_optimizer(cfg, model)


def test_a_loaded_state_leaves_the_settings_of_the_config(cfg, model):
    first = build_optimizer(cfg, model)
    train(model, first)
    cfg.SOLVER.BASE_LR, cfg.SOLVER.WEIGHT_DECAY = 0.003, 0.2
    second = build_optimizer(cfg, model)
    second.load_state_dict(first.state_dict())
    assert set(settings(second, model).values()) == {(0.003, 0.2)}
    weight = model.head.weight
    assert torch.equal(second.state[weight]["exp_avg"], first.state[weight]["exp_avg"])
    assert second.state[weight]["step"] == 3


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("OPTIMIZER", "SGD", "another SOLVER.OPTIMIZER"),
        ("WEIGHT_DECAY_BIAS", 0.0, "other groups"),
    ],
)
def test_a_state_that_does_not_fit(cfg, model, key, value, reason):
    state = build_optimizer(cfg, model).state_dict()
    cfg.SOLVER[key] = value
    with pytest.raises(ValueError, match=reason):
        build_optimizer(cfg, model).load_state_dict(state)


def test_a_frozen_backbone_has_no_group(cfg, model):
    model.backbone.requires_grad_(False)
    assert len(build_optimizer(cfg, model).param_groups) == 1


def test_adamw_is_adamw(cfg, model):
    by_hand = copy.deepcopy(model)
    expected = train(by_hand, torch.optim.AdamW(trainable(by_hand), 0.1, weight_decay=0.01))
    torch.testing.assert_close(train(model, build_optimizer(cfg, model)), expected)


def test_a_state_can_be_loaded_in_another_memory_format(cfg):
    """Resuming with other ``SOLVER.CHANNELS_LAST`` than before."""
    torch.manual_seed(0)
    models = [nn.Conv2d(4, 8, 3), nn.Conv2d(4, 8, 3).to(memory_format=torch.channels_last)]
    models[1].load_state_dict(models[0].state_dict())
    optimizers = [build_optimizer(cfg, model) for model in models]

    def step(model, optimizer):
        optimizer.zero_grad()
        model(torch.arange(4 * 25.0).view(1, 4, 5, 5) / 100).square().sum().backward()
        optimizer.step()
        return model.weight.detach()

    step(models[0], optimizers[0])
    models[1].load_state_dict(models[0].state_dict())
    optimizers[1].load_state_dict(copy.deepcopy(optimizers[0].state_dict()))
    first, second = map(step, models, optimizers)
    assert first.stride() != second.stride()
    torch.testing.assert_close(first, second)


def test_sgd_is_sgd(cfg, model):
    cfg.SOLVER.OPTIMIZER, cfg.SOLVER.BASE_LR = "SGD", 1e-5
    cfg.SOLVER.MOMENTUM, cfg.SOLVER.NESTEROV = 0.8, True
    by_hand = copy.deepcopy(model)
    expected = train(
        by_hand,
        torch.optim.SGD(trainable(by_hand), 1e-5, momentum=0.8, weight_decay=0.01, nesterov=True),
    )
    torch.testing.assert_close(train(model, build_optimizer(cfg, model)), expected)


@pytest.mark.parametrize("norm_type", [2.0, float("inf")])
def test_full_model_clipping_is_clip_grad_norm(cfg, model, norm_type):
    cfg.SOLVER.OPTIMIZER = "SGD"  # AdamW hardly feels the length of a gradient
    clip_full_model(cfg)
    cfg.SOLVER.CLIP_GRADIENTS.NORM_TYPE = norm_type
    by_hand = copy.deepcopy(model)
    expected = train(
        by_hand,
        torch.optim.SGD(trainable(by_hand), 0.1, momentum=0.9, weight_decay=0.01),
        before_step=lambda: nn.utils.clip_grad_norm_(trainable(by_hand), 0.5, norm_type),
    )
    torch.testing.assert_close(train(model, build_optimizer(cfg, model)), expected)


@pytest.mark.parametrize("change", ["not enabled", "no value", "other type"])
def test_gradients_that_are_not_clipped_together(cfg, model, change):
    clip_full_model(cfg, 0.0 if change == "no value" else 0.5)
    cfg.SOLVER.CLIP_GRADIENTS.ENABLED = change != "not enabled"
    if change == "other type":
        cfg.SOLVER.CLIP_GRADIENTS.CLIP_TYPE = "norm"
    optimizer = build_optimizer(cfg, model)
    loss_of(model).backward()
    optimizer.step()
    norms = torch.stack([p.grad.norm() for p in trainable(model)])
    assert norms.norm() > 0.5
    # Detectron2's own clips each parameter.
    assert (norms.max() <= 0.5 + 1e-5) == (change == "other type")


def test_with_amp_gradients_are_unscaled_before_they_are_clipped(cfg, model):
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    cfg.SOLVER.AMP.ENABLED = True
    clip_full_model(cfg)
    by_hand = copy.deepcopy(model)
    expected = train(
        by_hand,
        torch.optim.AdamW(trainable(by_hand), 0.1, weight_decay=0.01),
        before_step=lambda: nn.utils.clip_grad_norm_(trainable(by_hand), 0.5),
    )
    optimizer = build_optimizer(cfg, model)
    for step in range(3):
        optimizer.zero_grad()
        scaler.scale(loss_of(model, step)).backward()
        scaler.step(optimizer)
        scaler.update()
        norm = torch.stack([p.grad.norm() for p in trainable(model)]).norm()
        assert norm == pytest.approx(0.5, rel=1e-4)
    torch.testing.assert_close(
        torch.cat([p.detach().flatten() for p in model.parameters()]), expected
    )


def test_with_amp_a_step_with_infinite_gradients_is_left_out(cfg, model):
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    cfg.SOLVER.AMP.ENABLED = True
    clip_full_model(cfg)
    before = copy.deepcopy(model.state_dict())
    optimizer = build_optimizer(cfg, model)
    scaler.scale(loss_of(model) * float("inf")).backward()
    scaler.step(optimizer)
    scaler.update()
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)
    assert scaler.get_scale() < 2.0**10


@pytest.mark.parametrize(
    ("key", "value", "hint"),
    [("OPTIMIZER", "sgd", "SGD"), ("CLIP_GRADIENTS.CLIP_TYPE", "fullmodel", "full_model")],
)
def test_unknown_names(cfg, model, key, value, hint):
    cfg.SOLVER.CLIP_GRADIENTS.ENABLED = True
    cfg.merge_from_list([f"SOLVER.{key}", value])
    with pytest.raises(ConfigError, match=f'{key}.*"{value}".*"{hint}"'):
        build_optimizer(cfg, model)
