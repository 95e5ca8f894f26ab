"""Resuming the optimizer, whatever version of Detectron2 wrote the checkpoint."""

import copy

import pytest
import torch
from detectron2.engine import SimpleTrainer, TrainerBase
from detectron2.engine.hooks import LRScheduler
from detectron2.solver import LRMultiplier
from fvcore.common.param_scheduler import LinearParamScheduler
from onenet import compat


class Trainer(compat.TrainerStateMixin, TrainerBase):
    """The parts of DefaultTrainer that the mixin needs."""

    def __init__(self, groups=1):
        super().__init__()
        self.model = torch.nn.Linear(2, 2)
        parameters = list(self.model.parameters())
        grouped = [parameters] if groups == 1 else [[one] for one in parameters]
        self.optimizer = torch.optim.SGD([{"params": g} for g in grouped], lr=1.0, momentum=0.9)
        self.scheduler = LRMultiplier(self.optimizer, LinearParamScheduler(1.0, 0.0), max_iter=8)
        self._trainer = SimpleTrainer(self.model, [], self.optimizer)
        self.register_hooks([LRScheduler(self.optimizer, self.scheduler)])

    def run(self, steps):
        for self.iter in range(steps):
            self.model(torch.ones(1, 2)).sum().backward()
            self.optimizer.step()
            self.scheduler.step()
        return self


def momenta(trainer):
    return [state["momentum_buffer"] for state in trainer.optimizer.state.values()]


@pytest.fixture
def checkpoint():
    return copy.deepcopy(Trainer().run(3).state_dict())


def test_resume_restores_optimizer_and_schedule(checkpoint):
    trainer = Trainer()
    trainer.load_state_dict(checkpoint)
    assert trainer.iter == 2
    assert trainer.scheduler.last_epoch == 3
    assert trainer.optimizer.param_groups[0]["lr"] == 5 / 8
    saved = checkpoint["_trainer"]["optimizer"]["state"]
    torch.testing.assert_close(momenta(trainer), [s["momentum_buffer"] for s in saved.values()])


def test_resume_keeps_the_state_that_a_subclass_saves():
    class Main(TrainerBase):
        def state_dict(self):
            return {**super().state_dict(), "_trainer": "saved by main itself"}

    class MainTrainer(compat.TrainerStateMixin, Main):
        pass

    trainer = MainTrainer()
    trainer.iter = 0
    assert trainer.state_dict()["_trainer"] == "saved by main itself"


@pytest.mark.parametrize("reason", ["holds no optimizer state", "does not fit"])
def test_resume_without_a_fitting_optimizer_state(checkpoint, caplog, reason):
    if reason == "holds no optimizer state":
        del checkpoint["_trainer"]
    trainer = Trainer(groups=1 if "_trainer" not in checkpoint else 2)
    trainer.load_state_dict(checkpoint)
    assert reason in caplog.text
    assert momenta(trainer) == []
    assert trainer.iter == 2
    assert {group["lr"] for group in trainer.optimizer.param_groups} == {5 / 8}
    trainer.optimizer.step()
    trainer.scheduler.step()
    assert {group["lr"] for group in trainer.optimizer.param_groups} == {4 / 8}


def test_resume_with_a_gradient_scaler_that_was_not_saved(checkpoint):
    trainer = Trainer()
    loaded = {}
    trainer._trainer.state_dict = lambda: {"optimizer": {}, "grad_scaler": "fresh"}
    trainer._trainer.load_state_dict = loaded.update
    trainer.load_state_dict(checkpoint)
    assert loaded["grad_scaler"] == "fresh"
    assert loaded["optimizer"] == checkpoint["_trainer"]["optimizer"]
