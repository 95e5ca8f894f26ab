"""A run that is killed and resumed ends like one that is not."""

import json
import signal
from pathlib import Path

import pytest
import torch

pytestmark = pytest.mark.numeric

ROOT = Path(__file__).parents[1]

TINY = Path(__file__).with_name("tiny.yaml")
CONFIG = (
    f'_BASE_: "{TINY}"'
    + """
DATALOADER: {NUM_WORKERS: 1}
INPUT:
  {FORMAT: "RGB", MIN_SIZE_TRAIN: [48, 64], MIN_SIZE_TEST: 64,
   CROP: {ENABLED: True, TYPE: "relative_range", SIZE: [0.5, 0.5]}}
SOLVER:
  {IMS_PER_BATCH: 2, MAX_ITER: 45, STEPS: [30], BASE_LR: 0.001, CHANNELS_LAST: True,
   CHECKPOINT_PERIOD: 9}
TEST: {EVAL_PERIOD: 18, ASSIGNMENT_PROBE: 4}
SEED: 7
VERSION: 2
"""
)

# Runs train_net.py, and kills it at a certain moment: arguments WHEN ITERATION, then its own.
KILLER = """
import os, runpy, signal, sys
import onenet, torch
from onenet.engine import Step

when, iteration = sys.argv[1], int(sys.argv[2])
run_step, save = Step.run_step, torch.save

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def step(trainer):
    run_step(trainer)
    if when == "step" and trainer.iter == iteration:
        die()

def half_a_save(data, file, *args, **kwargs):
    if when == "save" and f"{iteration:07d}.pth" in str(getattr(file, "name", "")):
        file.write(b"PK" + bytes(10_000))
        file.flush()
        die()
    save(data, file, *args, **kwargs)

Step.run_step, torch.save = step, half_a_save
sys.argv = sys.argv[3:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module")
def train(run_python, tmp_path_factory):
    """Run train_net.py in a folder; killed at (moment, iteration), or not."""
    folder = tmp_path_factory.mktemp("resume")
    (folder / "config.yaml").write_text(CONFIG)
    (folder / "killer.py").write_text(KILLER)

    def run(output, *flags, kill=()):
        killer = ["killer.py", *map(str, kill)] if kill else []
        program = [*killer, ROOT / "train_net.py", "--config-file", "config.yaml"]
        done = run_python(folder, *program, *flags, "OUTPUT_DIR", output)
        assert done.returncode == (-signal.SIGKILL if kill else 0), done.stderr
        return folder / output

    return run


@pytest.fixture(scope="module")
def whole(train):
    return train("whole")


@pytest.fixture(scope="module")
def interrupted(train):
    """Killed before the log of an evaluation, and resumed; killed while it saved, and resumed."""
    output = train("interrupted", kill=("step", 18))
    assert (output / "last_checkpoint").read_text() == "model_0000017.pth"
    assert not logged(output)
    train("interrupted", "--resume", kill=("save", 44))
    assert (output / "last_checkpoint").read_text() == "model_0000035.pth"
    assert not (output / "model_0000044.pth").exists()
    assert logged(output)[-1]["iteration"] == 39
    return train("interrupted", "--resume")


def logged(output):
    """The lines of metrics.json in order, without the times in them."""
    lines = (output / "metrics.json").read_text().splitlines()
    records = sorted(map(json.loads, lines), key=lambda record: record["iteration"])
    timing = ("time", "mean_time", "assign/time", "data_time", "rank_data_time", "eta_seconds")
    return [{name: r[name] for name in r if name not in timing} for r in records]


def test_the_log_is_the_same(whole, interrupted):
    assert [record["iteration"] for record in logged(whole)] == [17, 19, 35, 39, 44, 45]
    for record, expected in zip(logged(interrupted), logged(whole), strict=True):
        assert record == pytest.approx(expected, rel=0, abs=0, nan_ok=True)


def test_the_assignment_is_compared_with_the_same_evaluation(whole, interrupted):
    """Although it was killed after an evaluation that the checkpoint knows and the log does not."""
    moved = [record["dynamics/moved"] for record in logged(whole) if "dynamics/moved" in record]
    assert len(moved) == 2
    assert max(moved) > 0


def test_the_weights_are_the_same(whole, interrupted):
    expected, weights = (
        torch.load(output / "model_final.pth", weights_only=True)["model"]
        for output in (whole, interrupted)
    )
    for name, weight in expected.items():
        assert torch.equal(weights[name], weight), name


def test_the_best_weights_are_those_of_the_same_iteration(whole, interrupted):
    expected, best = (
        torch.load(output / "model_best.pth", weights_only=True) for output in (whole, interrupted)
    )
    assert best["iteration"] == expected["iteration"]
    assert best["metrics"] == expected["metrics"]
