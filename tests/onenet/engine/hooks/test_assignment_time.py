"""The clock of the CPU. That of a GPU, made of events in its stream, cannot be tried without it."""

import time
from itertools import repeat

import pytest
import torch
from detectron2.engine.train_loop import TrainerBase
from detectron2.modeling import build_model
from onenet.engine import AssignmentTime
from onenet.engine.hooks import assignment_time


class Loop(TrainerBase):
    def __init__(self, model, inputs):
        super().__init__()
        self.model, self.inputs = model, inputs
        self.seconds = []

    def run_step(self):
        start = time.perf_counter()
        self.model(self.inputs)
        self.seconds.append(time.perf_counter() - start)


def slow_down(module, delays):
    """Make each call of a module take a number of seconds more."""
    forward = module.forward

    def slow(*arguments):
        time.sleep(next(delays))
        return forward(*arguments)

    module.forward = slow


@pytest.fixture
def loop(tiny_cfg, make_inputs):
    """Two stages, so that there are two assignments in a step."""
    torch.manual_seed(0)
    cfg = tiny_cfg("CenterNet", "MODEL.OneNet.NUM_STAGES", 2)
    loop = Loop(build_model(cfg), make_inputs())
    loop.register_hooks([AssignmentTime()])
    return loop


def test_every_assignment_of_a_step_counts_and_nothing_else(loop):
    slow_down(loop.model.criterion.assigner, iter([0.3, 0.2, 0.0, 0.0]))  # two branches, two steps
    slow_down(loop.model.head, repeat(0.1))
    loop.train(0, 2)
    (first, _), (second, _) = loop.storage.history("assign/time").values()
    assert 0.3 + 0.2 <= first <= loop.seconds[0] - 0.1
    assert 0 < second <= loop.seconds[1] - 0.1


def test_nothing_listens_after_training(loop):
    loop.train(0, 1)
    assert not loop.model.criterion.assigner._forward_hooks
    assert not loop.model.criterion.assigner._forward_pre_hooks
    ((seconds, _),) = loop.storage.history("assign/time").values()
    assert 0 < seconds < 60


def test_a_clock_that_has_not_stopped_is_not_waited_for(loop, monkeypatch):
    class Running(assignment_time.HostClock):
        def seconds(self):
            return None

    monkeypatch.setattr(assignment_time, "HostClock", Running)
    loop.train(0, 1)
    assert "assign/time" not in loop.storage.histories()
