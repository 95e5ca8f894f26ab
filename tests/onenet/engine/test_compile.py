"""Training with torch.compile, here its tracing alone: what follows makes it only fast."""

import pytest
import torch
from onenet.engine import Trainer

SELECTOR = ("MODEL.OneNet.SELECTOR.ENABLED", True)
QUALITY = ("MODEL.OneNet.CENTERNESS", True, "MODEL.OneNet.CLASS_LOSS", "varifocal")


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


@pytest.mark.parametrize(
    "head, options, num_losses", [("CenterNet", SELECTOR, 4), ("FCOS", QUALITY, 3)]
)
def test_losses_and_gradients_are_the_same(
    tiny_cfg, make_inputs, monkeypatch, head, options, num_losses
):
    """For images of one size, and of others after that; network and each loss in one piece."""
    compiled, compile_ = [], torch.compile

    def whole(function):
        compiled.append(function)
        return compile_(function, backend="eager", fullgraph=True)

    monkeypatch.setattr(torch, "compile", whole)
    cfg = tiny_cfg(head, *options)
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
    assert len(compiled) == 1 + num_losses


def test_a_checkpoint_does_not_show_it(tiny_cfg):
    cfg = tiny_cfg()
    names = Trainer.build_model(cfg).state_dict().keys()
    cfg.SOLVER.COMPILE = True
    assert Trainer.build_model(cfg).state_dict().keys() == names
