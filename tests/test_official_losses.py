"""A training step of whole models has the losses and gradients of the official code.

golden/official_losses.npz was made as golden/official_detections.npz was, see
test_official_detections.py: the losses of the official models, weighted, and the norms of their
gradients, for the weights and the batch of formula.py. "argmin" is its loss.py, which its detector
does not import, in the place of its loss_predefine.py, which is Hungarian.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from onenet.engine import Trainer, setup_cfg

from .formula import make_batch, make_weights

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
    return torch.stack([gradient.norm() for gradient in gradients]).norm()


@pytest.mark.parametrize("name", CASES)
def test_losses_and_gradients_are_the_official_ones(name, expected, monkeypatch):
    for init in ("kaiming_normal_", "kaiming_uniform_", "xavier_uniform_", "normal_"):
        monkeypatch.setattr(torch.nn.init, init, lambda tensor, *args, **kwargs: tensor)
    config, solver = CASES[name]
    options = ["MODEL.DEVICE", "cpu", "MODEL.OneNet.ASSIGNER.SOLVER", solver]
    model = Trainer.build_model(setup_cfg(str(HERE.parent / "configs" / f"{config}.yaml"), options))
    shapes = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    model.load_state_dict(make_weights(shapes))
    height, width = expected[f"{name}_size"].tolist()
    losses = model.train()(make_batch(height, width))
    assert losses.keys() == LOSSES
    sum(losses.values()).backward()
    found = {
        **{key: loss.item() for key, loss in losses.items()},
        "grad_backbone": gradient_norm(model.backbone).item(),
        "grad_head": gradient_norm(model.head).item(),
    }
    wanted = {key: float(expected[f"{name}_{key}"]) for key in found}
    assert found == pytest.approx(wanted, rel=1e-4)
