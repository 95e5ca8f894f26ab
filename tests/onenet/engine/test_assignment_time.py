from types import SimpleNamespace

import pytest
import torch
from detectron2.engine.train_loop import TrainerBase
from detectron2.modeling import build_model
from onenet.engine import AssignmentTime, assignment_time


class Loop(TrainerBase):
    def __init__(self, model, inputs):
        super().__init__()
        self.model, self.inputs = model, inputs

    def run_step(self):
        self.model(self.inputs)


@pytest.fixture
def loop(tiny_cfg, make_inputs):
    """Two stages, so that there are two assignments in a step."""
    torch.manual_seed(0)
    cfg = tiny_cfg("CenterNet", "MODEL.OneNet.NUM_STAGES", 2)
    loop = Loop(build_model(cfg), make_inputs())
    loop.register_hooks([AssignmentTime()])
    return loop


def test_every_assignment_of_a_step_counts(loop, monkeypatch):
    now = iter([0.0, 1.0, 10.0, 12.0, 20.0, 24.0, 30.0, 38.0])  # begin and end, four times
    clock = SimpleNamespace(perf_counter=lambda: next(now))
    monkeypatch.setattr(assignment_time, "time", clock)
    loop.train(0, 2)
    assert loop.storage.history("assign/time").values() == [(1.0 + 2.0, 0), (4.0 + 8.0, 1)]


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
