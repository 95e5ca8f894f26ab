"""Losses that stay on the device for many steps; AMP without a question to it."""

from itertools import cycle
from pathlib import Path

import pytest
import torch
from detectron2.utils.events import EventStorage
from onenet.engine import AMPStep, Step, Trainer, build_optimizer
from onenet.engine.losses_read import Diverged
from torch import nn

pytestmark = pytest.mark.numeric

DEVICE = {"device": "cpu"}


class Model(nn.Module):
    """Its losses are told by the batch, and have gradients."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))

    def forward(self, batch):
        (values,) = batch
        losses = self.weight * torch.tensor(values)
        return {"loss_a": losses[0], "loss_b": losses[1]}


@pytest.fixture
def run(monkeypatch):
    """Run steps as on a GPU, where losses are read after some; returns what is stored."""
    monkeypatch.setattr("onenet.engine.step.on_host", lambda losses: False)

    def run(batches, read=lambda iteration: True):
        model = Model()
        step = Step(model, [[batch] for batch in batches], torch.optim.SGD(model.parameters(), 0.0))
        step.is_read = read
        with EventStorage() as storage:
            for step.iter in range(len(batches)):
                storage.iter = step.iter
                step.run_step()
            return {name: history.values() for name, history in storage.histories().items()}

    return run


def test_losses_are_stored_under_their_own_iterations(run):
    batches = [[1.0, 2], [3, 4], [5, 6], [7, 8]]
    stored = run(batches, read=lambda iteration: iteration == 2)
    assert stored["loss_a"] == [(1, 0), (3, 1), (5, 2)]
    assert stored["total_loss"] == [(3, 0), (7, 1), (11, 2)]
    assert [iteration for _, iteration in stored["data_time"]] == [0, 1, 2]
    at_once = run(batches)
    assert {name: x[:3] for name, x in at_once.items() if name != "data_time"} == {
        name: x for name, x in stored.items() if name != "data_time"
    }


def test_a_divergence_is_told_of_the_step_it_was_in(run):
    with pytest.raises(Diverged) as caught:
        run([[1.0, 2], [float("nan"), 2], [1, 2]], read=lambda iteration: iteration == 2)
    assert caught.value.iteration == 1


def test_losses_are_read_where_they_are_logged_or_saved(digits_cfg):
    digits_cfg.SOLVER.MAX_ITER, digits_cfg.SOLVER.STEPS = 50, ()
    digits_cfg.SOLVER.CHECKPOINT_PERIOD, digits_cfg.TEST.EVAL_PERIOD = 15, 0
    Path(digits_cfg.OUTPUT_DIR).mkdir()
    trainer = Trainer(digits_cfg)
    done = [i + 1 for i in range(50) if trainer._trainer.is_read(i)]
    assert done == [15, 20, 30, 40, 45, 50]


@pytest.fixture
def amp_step(tiny_cfg, make_inputs):
    def make(precision):
        cfg = tiny_cfg()
        cfg.SOLVER.BASE_LR = 1e-4
        model = Trainer.build_model(cfg)
        return AMPStep(
            model,
            cycle([make_inputs()]),
            build_optimizer(cfg, model),
            **DEVICE,
            precision=precision,
        )

    return make


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
def test_half_precision(amp_step, precision):
    """The network's alone: losses are float32."""
    step, seen = amp_step(precision), []
    step.model.head.register_forward_hook(
        lambda m, i, out: seen.append(out[0]["main"].logits.dtype)
    )
    with EventStorage() as storage:
        step.run_step()
    assert seen == [precision]
    assert storage.history("total_loss").latest() > 0
    assert step.grad_scaler.is_enabled() == (precision == torch.float16)
    # The first scale of gradients may be too large; the step is left out then.
    assert all(p.isfinite().all() for p in step.model.parameters())


def test_a_state_of_another_precision_is_taken_over(amp_step):
    for one, other in ((torch.float16, torch.bfloat16), (torch.bfloat16, torch.float16)):
        amp_step(one).load_state_dict(amp_step(other).state_dict())
    half = amp_step(torch.float16)
    half.grad_scaler.load_state_dict({**half.grad_scaler.state_dict(), "scale": 32.0})
    resumed = amp_step(torch.float16)
    resumed.load_state_dict(half.state_dict())
    assert resumed.grad_scaler.get_scale() == 32
