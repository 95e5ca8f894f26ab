import logging

import pytest
import torch
from detectron2.engine.train_loop import TrainerBase
from detectron2.modeling import build_model
from detectron2.utils.events import EventStorage
from onenet.engine import AssignmentStatistics, MeanStepTime
from onenet.engine.hooks.progress import TrainingProgress
from onenet.inspection.assignment import assignment_statistics


class Loop(TrainerBase):
    """Runs the model, and keeps what its criterion assigned to what."""

    def __init__(self, model, inputs):
        super().__init__()
        self.model, self.inputs = model, inputs
        self.calls = []
        model.criterion.observers.append(lambda *call: self.calls.append(call))
        self.listening = []

    def run_step(self):
        self.listening.append(len(self.model.criterion.observers) > 1)
        self.model(self.inputs)


@pytest.fixture
def loop(tiny_cfg, make_inputs):
    torch.manual_seed(0)
    cfg = tiny_cfg("CenterNet", "MODEL.OneNet.NUM_STAGES", 2)
    loop = Loop(build_model(cfg), make_inputs())
    loop.register_hooks([AssignmentStatistics(period=2)])
    return loop


def test_describes_each_period_and_the_last_iteration(loop):
    loop.train(0, 5)
    assert loop.listening == [False, True, False, True, True]
    history = loop.storage.history("assign/positives_per_gt").values()
    assert [iteration for _, iteration in history] == [1, 3, 4]


def test_describes_the_first_stage(loop):
    loop.train(0, 2)
    first_stages = loop.calls[::2]
    expected = assignment_statistics(*first_stages[1])
    assert expected["positive_score"] > 0
    for name, value in expected.items():
        assert loop.storage.history(f"assign/{name}").latest() == pytest.approx(value.item())


def test_one_readable_line(loop, caplog):
    with caplog.at_level(logging.INFO, logger="onenet"):
        loop.train(0, 2)
    (line,) = [record.getMessage() for record in caplog.records if record.name.startswith("onenet")]
    assert line.startswith("assignment: positives per gt 1.000 ")
    assert "positive iou 0." in line


def warnings(caplog):
    return [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]


def test_positives_outside_are_warned_of_once(loop, caplog):
    for inputs in loop.inputs:  # all the same, between samples
        inputs["instances"].gt_boxes.tensor[:] = torch.tensor([11.0, 11, 13, 13])
        inputs["instances"].gt_classes[:] = 0
    loop.train(0, 8)
    assert not warnings(caplog)  # four descriptions are too few
    loop.train(0, 14)
    outside, shared = warnings(caplog)
    assert outside.startswith("assignment: 100% of the positive samples lie outside")
    assert shared.startswith("assignment: 100% of the positive samples serve several objects")


@pytest.mark.parametrize("steps, expected", [(5, [0, 0.25, 0.5, 0.75, 1]), (1, [0])])
def test_modules_learn_how_far_the_training_is(steps, expected):
    seen = []

    class Scheduled(torch.nn.Linear):
        progress = None

    class Steps(TrainerBase):
        model = torch.nn.Sequential(torch.nn.Linear(1, 1), Scheduled(1, 1))

        def run_step(self):
            seen.append(self.model[1].progress)

    trainer = Steps()
    trainer.register_hooks([TrainingProgress()])
    trainer.train(0, steps)
    assert seen == expected
    assert not hasattr(trainer.model[0], "progress")


def test_mean_time_is_that_of_the_last_steps():
    hook = MeanStepTime(window=2)
    hook.trainer = TrainerBase()
    with EventStorage() as hook.trainer.storage:
        hook.after_step()
        assert "mean_time" not in hook.trainer.storage.histories()
        for seconds in (9.0, 1.0, 4.0):
            hook.trainer.storage.put_scalar("time", seconds)
            hook.after_step()
        assert hook.trainer.storage.latest()["mean_time"][0] == 2.5
