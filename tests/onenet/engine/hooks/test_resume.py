import json

import pytest
import torch
from detectron2.engine.train_loop import TrainerBase
from detectron2.utils import comm
from onenet.engine import LogContinuation, StepSeed


class Loop(TrainerBase):
    """Logs a random number in each iteration."""

    def __init__(self, *hooks, resumed=False):
        super().__init__()
        self.resumed = resumed
        self.register_hooks(hooks)

    def run_step(self):
        self.storage.put_scalar("number", torch.rand(()).item())

    @property
    def numbers(self):
        return self.storage.history("number").values()


def test_random_numbers_of_a_step_depend_on_its_iteration_alone():
    whole, second_half, other = Loop(StepSeed(3)), Loop(StepSeed(3)), Loop(StepSeed(4))
    whole.train(0, 6)
    second_half.train(3, 6)
    other.train(0, 6)
    assert second_half.numbers == whole.numbers[3:]
    assert not set(other.numbers) & set(whole.numbers)


def test_processes_have_random_numbers_of_their_own(monkeypatch):
    first, second = Loop(StepSeed(3)), Loop(StepSeed(3))
    first.train(0, 3)
    monkeypatch.setattr(comm, "get_rank", lambda: 1)
    second.train(0, 3)
    assert not set(first.numbers) & set(second.numbers)


@pytest.mark.parametrize("pause", [5, 25])
def test_medians_are_over_as_many_values_as_without_a_pause(tmp_path, pause):
    whole = Loop(StepSeed(0))
    whole.train(0, 30)
    stopped = Loop(StepSeed(0), LogContinuation(tmp_path))
    stopped.train(0, pause)
    state = json.loads(json.dumps(stopped.state_dict()))  # plain values alone

    resumed = Loop(StepSeed(0), LogContinuation(tmp_path), resumed=True)
    resumed.load_state_dict(state)
    resumed.train(pause, 30)
    median = whole.storage.latest_with_smoothing_hint(20)["number"]
    assert resumed.storage.latest_with_smoothing_hint(20)["number"] == median


def test_a_trainer_that_has_not_run_can_be_saved(tmp_path):
    assert Loop(LogContinuation(tmp_path)).state_dict() == {"iteration": 0}
