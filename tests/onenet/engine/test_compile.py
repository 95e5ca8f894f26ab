"""Training with torch.compile, here its tracing alone: what follows makes it only fast."""

from functools import partial

import pytest
import torch
from onenet.engine import Trainer

HEADS = {
    "CenterNet": (),
    "FCOS": ("MODEL.OneNet.CENTERNESS", True),
}


def losses_and_gradients(cfg, batches):
    torch.manual_seed(0)
    model = Trainer.build_model(cfg).train()
    seen = []
    for batch in batches:
        model.zero_grad()
        losses = model(batch)
        sum(losses.values()).backward()
        gradients = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
        seen.append(({name: loss.detach() for name, loss in losses.items()}, gradients))
    return seen


@pytest.mark.parametrize("head", HEADS)
def test_losses_and_gradients_are_the_same(tiny_cfg, make_inputs, monkeypatch, head):
    """For images of one size, and of others after that."""
    whole = partial(torch.compile, backend="eager", fullgraph=True)
    monkeypatch.setattr(torch, "compile", whole)
    cfg = tiny_cfg(head, *HEADS[head])
    batches = [make_inputs(size=size) for size in ((64, 96), (64, 96), (96, 160))]
    expected = losses_and_gradients(cfg, batches)
    cfg.SOLVER.COMPILE = True
    for (losses, gradients), (right, slopes) in zip(
        losses_and_gradients(cfg, batches), expected, strict=True
    ):
        torch.testing.assert_close(losses, right, rtol=1e-4, atol=0)
        assert gradients.keys() == slopes.keys()
        for name, slope in slopes.items():
            assert (gradients[name] - slope).norm() <= 1e-3 * slope.norm() + 1e-6, name


def test_a_checkpoint_does_not_show_it(tiny_cfg):
    cfg = tiny_cfg()
    names = Trainer.build_model(cfg).state_dict().keys()
    cfg.SOLVER.COMPILE = True
    assert Trainer.build_model(cfg).state_dict().keys() == names
