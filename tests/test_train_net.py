"""train_net.py from end to end, as a user runs it."""

import json
import re
import shutil
from argparse import Namespace
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[1]

TINY = Path(__file__).with_name("tiny.yaml")
CONFIG = (
    f'_BASE_: "{TINY}"'
    + """
DATALOADER: {NUM_WORKERS: 1}
INPUT: {FORMAT: "RGB", MIN_SIZE_TRAIN: [64], MIN_SIZE_TEST: 64}
SOLVER: {IMS_PER_BATCH: 2, MAX_ITER: 3, STEPS: [2], BASE_LR: 0.001}
TEST: {EXPECTED_RESULTS: [["bbox", "AP", 50.0, 50.0]]}
VERSION: 2
"""
)


@pytest.fixture(scope="module")
def train_net(run_python, tmp_path_factory):
    """Run train_net.py with a config and further arguments; its output is in output/ of "cwd"."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "config.yaml").write_text(CONFIG)

    def run(*arguments):
        program = ROOT / "train_net.py"
        return run_python(folder, program, "--config-file", "config.yaml", *arguments)

    run.folder = folder
    return run


@pytest.fixture(scope="module")
def trained(train_net):
    done = train_net("OUTPUT_DIR", "output")
    assert done.returncode == 0, done.stderr
    return train_net.folder / "output"


def test_a_run_leaves_what_detectron2_users_expect(trained):
    assert {"config.yaml", "log.txt", "metrics.json", "last_checkpoint", "model_final.pth"} <= {
        path.name for path in trained.iterdir()
    }
    assert list(trained.glob("events*"))
    metrics = {}
    for line in (trained / "metrics.json").read_text().splitlines():
        metrics.update(json.loads(line))
    assert metrics["iteration"] in (2, 3)  # the evaluation comes after the last step
    assert metrics["assign/positives_per_gt"] == 1.0
    assert metrics["total_loss"] > 0
    assert 0 <= metrics["bbox/AP"] <= 100
    assert "bbox_nms/AP" in metrics
    assert "nms_diagnosis/nms_gap" in metrics


def test_a_checkpoint_has_the_names_of_the_classes(trained):
    checkpoint = torch.load(trained / "model_final.pth", weights_only=True)
    assert checkpoint["class_names"] == [*"0123456789"]


def test_a_second_run_is_told_and_keeps_its_log_to_itself(train_net, trained):
    folder = shutil.copytree(trained, train_net.folder / "again")
    again = train_net("OUTPUT_DIR", "again", "SOLVER.MAX_ITER", "1", "TEST.EXPECTED_RESULTS", "[]")
    assert again.returncode == 0, again.stderr
    assert re.search(r'WARNING.* OUTPUT_DIR "again" holds an earlier run', again.stdout)
    earlier, own = (
        [json.loads(line)["iteration"] for line in (folder / name).read_text().splitlines()]
        for name in ("metrics.json.1", "metrics.json")
    )
    assert earlier[0] == 2
    assert max(own) <= 1


def test_the_log_tells_of_the_assignment(trained):
    assert "assignment: positives per gt 1.000" in (trained / "log.txt").read_text()


def test_evaluation_checks_the_expected_results(trained, train_net):
    weights = ["MODEL.WEIGHTS", str(trained / "model_final.pth"), "OUTPUT_DIR", "evaluated"]
    impossible = [["bbox", "AP", 200.0, 1.0]]
    done = train_net("--eval-only", *weights, "TEST.EXPECTED_RESULTS", str(impossible))
    assert done.returncode == 1
    assert "Result verification failed" in done.stdout + done.stderr
    assert (train_net.folder / "evaluated" / "inference").is_dir()


def test_a_mistake_is_one_line_and_leaves_nothing(train_net):
    done = train_net("OUTPUT_DIR", "nothing", "MODEL.OneNet.NUM_CLASSES", "80")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: MODEL.OneNet.NUM_CLASSES is 80")
    assert "Traceback" not in done.stdout + done.stderr
    assert not (train_net.folder / "nothing").exists()


def test_a_file_that_could_run_code_must_be_named(trained, train_net):
    checkpoint = torch.load(trained / "model_final.pth", weights_only=False)
    path = train_net.folder / "foreign.pth"
    torch.save({"model": checkpoint["model"], "args": Namespace(lr=1)}, path)
    arguments = ["--eval-only", "MODEL.WEIGHTS", str(path), "OUTPUT_DIR", "foreign"]
    done = train_net(*arguments)
    assert done.returncode == 1
    assert f'--unsafe-load "{path}"' in done.stderr.splitlines()[-1]
    done = train_net("--unsafe-load", str(path), *arguments, "TEST.EXPECTED_RESULTS", "[]")
    assert done.returncode == 0, done.stderr
