"""Two processes on the CPU, as torchrun or --num-gpus starts them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from assigners import add_assigners_config
from onenet.data.digits.build import SPECS

from .first_step import FirstStep, first_step, max_relative_error
from .two_processes import evaluate, read_configs

pytestmark = pytest.mark.numeric

ROOT = Path(__file__).parents[3]
VARIANTS = {
    "mincost": ("CenterNet", []),
    "accumulate": ("CenterNet", ["SOLVER.ACCUMULATE", 2]),
    "fcos": ("FCOS", ["MODEL.OneNet.ASSIGNER.NAME", "ATSS", "SOLVER.ACCUMULATE", 2]),
    "retinanet": ("RetinaNet", ["MODEL.OneNet.ASSIGNER.NAME", "MaxIoU"]),
}


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=500,
    )


def torchrun(folder):
    launcher = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return run(*launcher, "-m", f"{__package__}.two_processes", str(folder))


@pytest.fixture(scope="module")
def configs(few_digits, tiny_cfg, tmp_path_factory):
    """By name; they are also in configs/ of the folder that their OUTPUT_DIR are in."""
    folder = tmp_path_factory.mktemp("two")
    (folder / "configs").mkdir()
    spec = SPECS[0]
    digits = spec.folder(few_digits)
    for variant, (head, options) in VARIANTS.items():
        cfg = tiny_cfg(head)
        add_assigners_config(cfg)
        cfg.MODEL.OneNet.NUM_CLASSES = 10
        cfg.DATASETS.TRAIN, cfg.DATASETS.TEST = ("two_train",), ("two_val",)
        cfg.DATASETS.REGISTER = [
            [
                f"two_{split}",
                str(spec.json_file(digits, split)),
                str(spec.image_root(digits, split)),
            ]
            for split in spec.scenes
        ]
        cfg.DATALOADER.NUM_WORKERS = 0
        cfg.INPUT.MIN_SIZE_TRAIN, cfg.INPUT.MIN_SIZE_TEST = (64,), 64
        cfg.SOLVER.IMS_PER_BATCH, cfg.SOLVER.MAX_ITER, cfg.SOLVER.STEPS = 4, 2, ()
        cfg.SOLVER.BASE_LR = 1e-6  # large steps blow up a network without normalisation
        cfg.TEST.ASSIGNMENT_PROBE = 2
        cfg.SEED = 1
        cfg.OUTPUT_DIR = str(folder / variant)
        cfg.merge_from_list(options)
        (folder / "configs" / f"{variant}.yaml").write_text(cfg.dump())
    return folder, read_configs(folder)


@pytest.fixture(scope="module")
def done(configs):
    """Two processes that have come to their end."""
    return torchrun(configs[0])


@pytest.fixture(scope="module")
def seen(configs, done):
    """What each of them has seen."""
    folder = configs[0]
    assert Path(folder, "process1.pt").exists(), done.stderr
    return [torch.load(folder / f"process{rank}.pt") for rank in range(2)]


@pytest.mark.parametrize("name", VARIANTS)
def test_a_step_equals_that_of_one_process(name, configs, seen, tmp_path):
    cfg = configs[1][name].clone()
    cfg.defrost()
    cfg.SOLVER.ACCUMULATE, cfg.OUTPUT_DIR = 1, str(tmp_path)
    alone = first_step(cfg)
    first, second = (FirstStep(*process[name]) for process in seen)
    assert max_relative_error(first.gradients, alone.gradients) < 1e-5
    assert max_relative_error(second.gradients, first.gradients) == 0
    assert first.losses == pytest.approx(alone.losses, rel=1e-5)


def test_every_process_sees_its_own_images(seen):
    first, second = (FirstStep(*process["mincost"]).image_ids for process in seen)
    assert len(first) == len(second) == 2
    assert not set(first) & set(second)


def test_the_main_process_watches_the_assignment(configs, seen):
    """While the other one waits for the next step."""
    metrics = Path(configs[0], "fcos", "metrics.json").read_text()
    assert '"dynamics/positive_iou"' in metrics


def test_the_main_process_writes(configs, seen):
    names = {path.name for path in Path(configs[0], "mincost").iterdir()}
    events = {name for name in names if name.startswith("events")}
    assert len(events) == 1
    assert names - events == {
        "config.yaml",
        "inference",
        "last_checkpoint",
        "log.txt",
        "log.txt.rank1",  # Detectron2's, a log for each process
        "metrics.json",
        "model_final.pth",
        "model_initial.pth",
    }


def test_an_evaluation_equals_that_of_one_process(configs, seen, tmp_path):
    cfg = configs[1]["mincost"].clone()
    cfg.defrost()
    cfg.OUTPUT_DIR = str(tmp_path)
    alone = evaluate(cfg)
    assert 10 < alone["bbox"]["AP"] < 90
    first, second = (process["evaluation"] for process in seen)
    assert first.keys() == alone.keys()
    for task, metrics in alone.items():
        assert first[task] == pytest.approx(dict(metrics), nan_ok=True)
    assert not second


def test_a_process_that_dies_ends_the_run(seen, done):
    assert done.returncode != 0
    assert "RuntimeError: process 1 has had enough" in done.stderr


def test_a_process_that_is_killed_ends_the_run():
    done = run(f"{__package__}.killed_process")
    # The two write at the same time, so that one's line may begin before the other's has ended.
    ranks = re.findall(r"rank \d of 2, gloo", done.stdout)
    assert sorted(ranks) == ["rank 0 of 2, gloo", "rank 1 of 2, gloo"]
    assert done.returncode == 1
    assert "error: process 1 terminated with signal SIGKILL" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_loss_that_is_not_finite_in_one_process_ends_the_run_with_one_line(configs):
    folder, made = configs
    cfg = made["mincost"].clone()
    cfg.defrost()
    cfg.OUTPUT_DIR = str(folder / "diverges")
    cfg.SOLVER.MAX_ITER = 50
    (folder / "diverges.yaml").write_text(cfg.dump())
    done = run(f"{__package__}.diverging_process", str(folder / "diverges.yaml"))
    assert done.returncode == 1
    (error,) = (line for line in done.stderr.splitlines() if line.startswith("error: "))
    assert "NaN in iteration 2 of 50" in error
    assert "Traceback" not in done.stdout + done.stderr
