import logging
import math

import torch
from detectron2.engine.train_loop import TrainerBase
from onenet.engine import BestCheckpoint


class Loop(TrainerBase):
    """Has a metric after each iteration, and moves its only weight to the iteration's number."""

    def __init__(self, folder, values, resumed=False, metric="bbox/AP"):
        super().__init__()
        self.model = torch.nn.Linear(1, 1, bias=False)
        self.values, self.resumed = values, resumed
        self.register_hooks([BestCheckpoint(self.model, str(folder), metric)])

    def run_step(self):
        with torch.no_grad():
            self.model.weight.fill_(self.iter)
        value = self.values[self.iter]
        if value is not None:
            self.storage.put_scalar("bbox/AP", value, smoothing_hint=False)


def best(folder):
    saved = torch.load(folder / "model_best.pth", weights_only=True)
    weight = saved["model"]["weight"].item()
    assert weight == saved["iteration"]
    return weight, saved["metrics"]["bbox/AP"]


def test_the_highest_stays(tmp_path):
    Loop(tmp_path, [None, 10.0, None, 30.0, 20.0, math.nan]).train(0, 6)
    assert best(tmp_path) == (3, 30.0)
    assert [path.name for path in tmp_path.iterdir()] == ["model_best.pth"]


def test_a_resumed_run_has_to_beat_it(tmp_path):
    Loop(tmp_path, [10.0, 30.0]).train(0, 2)
    Loop(tmp_path, [None, None, 20.0, 25.0], resumed=True).train(2, 4)
    assert best(tmp_path) == (1, 30.0)
    Loop(tmp_path, [None, None, 40.0], resumed=True).train(2, 3)
    assert best(tmp_path) == (2, 40.0)


def test_a_new_run_does_not(tmp_path):
    Loop(tmp_path, [30.0]).train(0, 1)
    Loop(tmp_path, [20.0]).train(0, 1)
    assert best(tmp_path) == (0, 20.0)


def test_an_evaluation_without_ground_truth_is_not_the_best(tmp_path):
    Loop(tmp_path, [math.nan]).train(0, 1)
    assert list(tmp_path.iterdir()) == []


def test_a_misspelt_metric_is_told_once(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        Loop(tmp_path, [10.0, 20.0], metric="bbox/ap").train(0, 2)
    (message,) = [record.getMessage() for record in caplog.records]
    assert 'no evaluation gives "bbox/ap". Did you mean "bbox/AP"?' in message
    assert list(tmp_path.iterdir()) == []
