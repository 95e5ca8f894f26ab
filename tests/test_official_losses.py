"""A training step of whole models has the losses and gradients of the official code.

golden/official_losses.npz was made as golden/official_detections.npz was, see
test_official_detections.py: the losses of the official models, weighted, and the norms of their
gradients, for the weights and the batch of formula.py. "argmin" is its loss.py, which its detector
does not import, in the place of its loss_predefine.py, which is Hungarian. Two ground truths of the
first case have the same cheapest sample, those of the second do not: the official argmin trains
such a sample for the class of one of them, the one here for both.
"""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from onenet.engine import Trainer, setup_cfg

from .formula import make_batch, make_weights

pytestmark = pytest.mark.numeric

HERE = Path(__file__).parent
CASES = {
    "onenet.res50.nodcn.hungarian": ("onenet_R50", "hungarian"),
    "onenet.res50.nodcn.argmin": ("onenet_R50", "argmin"),
    "onenet.fcos.res50.hungarian": ("onenet_fcos_R50", "hungarian"),
    "onenet.retinanet.res50.hungarian": ("onenet_retinanet_R50", "hungarian"),
}
LOSSES = {"loss_ce", "loss_giou", "loss_bbox"}


@pytest.fixture(scope="module")
def expected():
    with np.load(HERE / "golden" / "official_losses.npz") as file:
        return dict(file)


def gradient_norm(module):
    gradients = [p.grad for p in module.parameters() if p.grad is not None]
    return torch.stack([gradient.norm() for gradient in gradients]).norm().item()


@pytest.fixture
def train_step(monkeypatch, expected):
    """Losses and gradients of a case, and those expected; options change the config."""
    for init in ("kaiming_normal_", "kaiming_uniform_", "xavier_uniform_", "normal_"):
        monkeypatch.setattr(torch.nn.init, init, lambda tensor, *args, **kwargs: tensor)

    def step(name, *options):
        config, solver = CASES[name]
        options = ["MODEL.DEVICE", "cpu", "MODEL.OneNet.ASSIGNER.SOLVER", solver, *options]
        cfg = setup_cfg(str(HERE.parent / "configs" / f"{config}.yaml"), options)
        model = Trainer.build_model(cfg)
        shapes = {key: tuple(value.shape) for key, value in model.state_dict().items()}
        model.load_state_dict(make_weights(shapes))
        losses = model.double().train()(make_batch(*expected[f"{name}_size"].tolist()))
        assert losses.keys() == LOSSES
        sum(losses.values()).backward()
        found = {
            **{key: loss.item() for key, loss in losses.items()},
            "grad_backbone": gradient_norm(model.backbone),
            "grad_head": gradient_norm(model.head),
        }
        return found, {key: expected[f"{name}_{key}"].item() for key in found}

    return step


# The networks are float64 on both sides: in float32 it depends on the processor which inputs of a
# ReLU are above 0, and a gradient's norm by 5e-4. What follows the networks here is float32, with
# sums of 1e5 terms.
same = partial(pytest.approx, rel=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_losses_and_gradients_are_the_official_ones(name, train_step):
    found, wanted = train_step(name)
    assert found == same(wanted)


@pytest.mark.parametrize(
    ("wrong", "options"),
    [
        ("loss_bbox", ["L1_WEIGHT", 2.0, "GIOU_WEIGHT", 5.0]),  # swapped
        ("loss_giou", ["GIOU_WEIGHT", 0.0]),  # left out
        ("loss_ce", ["ALPHA", 0.26]),
    ],
)
def test_a_wrong_formula_is_noticed(wrong, options, train_step):
    keys = [f"MODEL.OneNet.{x}" if isinstance(x, str) else x for x in options]
    found, wanted = train_step("onenet.fcos.res50.hungarian", *keys)
    for name in (wrong, "grad_backbone", "grad_head"):
        assert found[name] != same(wanted[name])
