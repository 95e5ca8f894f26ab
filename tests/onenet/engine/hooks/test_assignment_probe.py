import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from assigners import add_assigners_config
from detectron2.engine import HookBase
from onenet import UserError
from onenet.engine import AssignmentProbe, Trainer, check_run
from onenet.engine.hooks.assignment_probe import build_probe

OF_ALL = {"positive_iou", "positive_score", "off_center"}
OF_COSTS = {
    "class_cost", "location_cost", "class_share", "class_agreement", "location_agreement",
    "solver_agreement",
}  # fmt: skip


class Listener(HookBase):
    """Keeps the exact losses, and what the random numbers would be, after each step."""

    def __init__(self):
        self.losses, self.numbers = [], []

    def after_step(self):
        latest = self.trainer.storage.latest()
        self.losses.append({k: v for k, (v, _) in latest.items() if "loss" in k})
        states = random.getstate(), np.random.get_state(), torch.get_rng_state()
        self.numbers.append((random.random(), np.random.rand(), torch.rand(()).item()))
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])


@pytest.fixture
def cfg(digits_cfg):
    """Evaluates after every second of four iterations."""
    digits_cfg.TEST.EVAL_PERIOD = 2
    return digits_cfg


@pytest.fixture
def train(cfg):
    """Train in a folder of its own; gives the trainer and a listener."""

    def train(folder, *options):
        run = cfg.clone()
        run.merge_from_list(["OUTPUT_DIR", f"{cfg.OUTPUT_DIR}/{folder}", *options])
        Path(run.OUTPUT_DIR).mkdir(parents=True)
        torch.manual_seed(0)
        np.random.seed(0)
        random.seed(0)
        trainer, listener = Trainer(run), Listener()
        trainer.register_hooks([listener])
        trainer.train()
        return trainer, listener

    return train


def dynamics(trainer):
    """Iteration -> what was told of it."""
    told = {}
    for name, history in trainer.storage.histories().items():
        for value, iteration in history.values() if name.startswith("dynamics/") else ():
            told.setdefault(iteration, {})[name.removeprefix("dynamics/")] = value
    return told


@pytest.mark.parametrize("seed", [1, -1])
def test_training_is_the_same_with_and_without_it(train, seed):
    """Also where nothing seeds the steps, as far as that can be compared."""
    options = ["SEED", seed]
    without, expected = train("without", *options)
    probed, seen = train("with", "TEST.ASSIGNMENT_PROBE", 3, *options)
    assert seen.numbers == expected.numbers
    if seed < 0:  # then the images are not the same either
        return
    assert seen.losses == expected.losses
    weights = probed.model.state_dict()  # and the statistics of batch norm
    assert all(torch.equal(weights[name], x) for name, x in without.model.state_dict().items())


def test_each_evaluation_describes_the_assignment(train, caplog):
    trainer, _ = train("run", "TEST.ASSIGNMENT_PROBE", 3)
    records = dynamics(trainer)
    assert {at: set(values) for at, values in records.items()} == {
        1: OF_ALL | OF_COSTS,
        3: OF_ALL | OF_COSTS | {"moved"},
    }
    for values in records.values():
        assert 0 < values["positive_iou"] <= 1
        assert 0 < values["positive_score"] < 1
        assert 0 <= values["class_share"] <= 1
        assert 0 <= values["solver_agreement"] <= 1
    assert trainer.model.training
    last = json.loads((Path(trainer.cfg.OUTPUT_DIR) / "metrics.json").read_text().splitlines()[-1])
    assert last["dynamics/moved"] == records[3]["moved"]
    events = b"".join(p.read_bytes() for p in Path(trainer.cfg.OUTPUT_DIR).glob("events*"))
    assert b"dynamics/moved" in events
    assert "TEST.BEST_METRIC" not in caplog.text  # nothing of it is taken for an evaluation


def test_rules_without_costs_tell_what_applies(cfg, train):
    add_assigners_config(cfg)
    trainer, _ = train(
        "run",
        "TEST.ASSIGNMENT_PROBE",
        2,
        "MODEL.OneNet.ASSIGNER.NAME",
        "ATSS",
        "TEST.EVAL_PERIOD",
        1,
    )
    records = dynamics(trainer)
    assert set(records[3]) == OF_ALL | {"moved"}
    assert records[3]["moved"] == 0  # priors stay where they are


def test_off_by_default(train):
    trainer, _ = train("run")
    assert not dynamics(trainer)


class Loop:
    """What the hook needs of a trainer."""

    def __init__(self, model):
        self.model, self.max_iter, self.iter = model, 100, 0
        self.storage, self.values = self, {}

    def put_scalar(self, name, value, smoothing_hint):
        assert not smoothing_hint
        self.values[name] = value


@pytest.fixture
def make_probe(digits_cfg, few_digits_names):
    """A probe of a model, with the trainer that it is registered with."""
    digits_cfg.TEST.ASSIGNMENT_PROBE, digits_cfg.TEST.EVAL_PERIOD = 2, 10
    loader = Trainer.build_train_loader(digits_cfg)
    torch.manual_seed(0)
    model = Trainer.build_model(digits_cfg)

    def make(state=None):
        probe = build_probe(digits_cfg, loader.dataset.records)
        if state:
            probe.load_state_dict(state)
        probe.trainer = Loop(model)
        return probe

    return make


def evaluate(probe, iteration, shift=0.0):
    """Evaluate after an iteration that has moved the weights."""
    with torch.no_grad():
        for parameter in probe.trainer.model.parameters():
            parameter += shift * torch.rand_like(parameter)
    probe.trainer.iter, probe.trainer.values = iteration, {}
    probe.after_step()
    return probe.trainer.values


def test_a_resumed_run_compares_with_the_last_evaluation(make_probe, tmp_path):
    first = make_probe()
    assert first.state_dict() == {}
    assert "dynamics/moved" not in evaluate(first, 9)
    torch.save(first.state_dict(), tmp_path / "state.pth")
    state = torch.load(tmp_path / "state.pth", weights_only=True)
    expected = evaluate(first, 19, shift=0.3)
    assert expected["dynamics/moved"] > 0

    resumed = make_probe(state)
    assert evaluate(resumed, 19) == expected
    assert evaluate(make_probe(), 19).keys() == expected.keys() - {"dynamics/moved"}


def test_an_evaluation_that_is_repeated_is_not_compared_with_itself(make_probe):
    probe = make_probe()
    evaluate(probe, 9)
    expected = evaluate(probe, 19, shift=0.3)
    assert evaluate(make_probe(probe.state_dict()), 19) == expected


def test_other_images_are_not_compared(make_probe):
    probe = make_probe()
    evaluate(probe, 9)
    state = probe.state_dict()
    state["names"] = ["another.png", *state["names"][1:]]
    assert "dynamics/moved" not in evaluate(make_probe(state), 19)


def test_not_more_than_there_are(digits_cfg):
    digits_cfg.TEST.ASSIGNMENT_PROBE = 1000
    records = Trainer.build_train_loader(digits_cfg).dataset.records
    assert len(build_probe(digits_cfg, records).scenes) == len(records)
    assert isinstance(build_probe(digits_cfg, records), AssignmentProbe)


def test_a_negative_number_is_refused(digits_cfg):
    digits_cfg.TEST.ASSIGNMENT_PROBE = -1
    with pytest.raises(UserError, match="must be a number of images .0: none., got -1"):
        check_run(digits_cfg)
