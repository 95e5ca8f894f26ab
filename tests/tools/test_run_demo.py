"""tools/run_demo.py: one small run, and what becomes of it when it is asked for again."""

import argparse
import json
import re
import runpy
import subprocess
from pathlib import Path

import pytest
from onenet import add_onenet_config  # before Detectron2, which it makes importable

# isort: split
from detectron2.config import get_cfg

TOOL = Path(__file__).parents[2] / "tools" / "run_demo.py"

TINY = Path(__file__).parents[1] / "tiny_train.yaml"
CONFIG = f'_BASE_: "{TINY}"\nOUTPUT_DIR: "output/tiny"\nVERSION: 2\n'


FILES = ["summary.md", *(f"pictures/{name}.png" for name in ("detections", "curves", "positives"))]


@pytest.fixture(scope="module")
def run(run_python, tmp_path_factory):
    """Run the tool as a program, each time in the same folder; gives what it printed."""
    folder = tmp_path_factory.mktemp("demo")
    (folder / "tiny.yaml").write_text(CONFIG)

    def run():
        done = run_python(folder, TOOL, "--config-file", "tiny.yaml")
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run.output = folder / "output" / "tiny"
    return run


def test_a_second_run_has_nothing_to_do(run):
    printed = run()
    assert "2/3 Training for 3 iterations" in printed
    assert "--config-file tiny.yaml --resume" in printed
    assert "Starting training from iteration 0" in printed
    assert "3/3 Drawing pictures" in printed
    assert re.search(r"\| AP without NMS +\| AP with NMS +\| NMS gap +\|", printed)
    assert "run_demo.py --config-file" in printed and "onenet_R18_digits_selector.yaml" in printed
    written = {name: (run.output / name).stat().st_mtime_ns for name in ["metrics.json", *FILES]}

    printed = run()
    assert f"Trained and evaluated already. To start over: rm -r {Path('output/tiny')}" in printed
    assert "Starting training" not in printed
    assert "3/3 The pictures are there" in printed
    assert (run.output / "summary.md").read_text() in printed
    unchanged = [name for name in written if name != "summary.md"]
    assert all((run.output / name).stat().st_mtime_ns == written[name] for name in unchanged)


@pytest.fixture
def tool(tmp_path, monkeypatch):
    """The functions of the tool, where training only notes its command and writes metrics."""
    monkeypatch.chdir(tmp_path)
    tool = runpy.run_path(str(TOOL))
    commands = []

    def train(command):
        commands.append(command)
        Path("run").mkdir(exist_ok=True)
        results = {"bbox/AP": 1.0, "bbox_nms/AP": 3.0, "nms_diagnosis/nms_gap": 2.0}
        results |= {"nms_diagnosis/duplicates": 1.25, "nms_diagnosis/score_gap": 0.5}
        record = {"iteration": 99, "time": 0.75, **results}
        Path("run/metrics.json").write_text(json.dumps(record))
        return subprocess.CompletedProcess(command, tool["exit_code"])

    tool["exit_code"], tool["commands"] = 0, commands
    monkeypatch.setattr(subprocess, "run", train)
    return tool


@pytest.fixture
def cfg():
    cfg = get_cfg()
    add_onenet_config(cfg)
    cfg.OUTPUT_DIR, cfg.SOLVER.MAX_ITER, cfg.DATASETS.TEST = "run", 100, ("digits_val",)
    return cfg


def arguments(*opts):
    return argparse.Namespace(config_file="a.yaml", opts=list(opts))


def test_training_goes_on_after_an_interruption(tool, cfg, capsys):
    Path("run").mkdir()
    Path("run/last_checkpoint").write_text("model_0000049.pth")
    assert tool["train"](arguments("SOLVER.MAX_ITER", "100"), cfg)["bbox/AP"] == 1.0
    assert "from model_0000049.pth on" in capsys.readouterr().out
    ((_, script, *flags),) = tool["commands"]
    assert Path(script).resolve() == TOOL.parents[1] / "train_net.py"
    assert flags == ["--config-file", "a.yaml", "--resume", "SOLVER.MAX_ITER", "100"]


def test_a_finished_training_is_not_repeated(tool, cfg):
    for _ in range(2):
        assert tool["train"](arguments(), cfg)["bbox/AP"] == 1.0
    assert len(tool["commands"]) == 1


def test_a_failed_training_ends_the_demo(tool, cfg):
    tool["exit_code"] = 3
    with pytest.raises(SystemExit) as caught:
        tool["train"](arguments(), cfg)
    assert caught.value.code == 3


def test_another_config_starts_anew(tool, cfg, capsys):
    Path("run").mkdir()
    Path("run/config.yaml").write_text(cfg.dump())
    tool["free_output_folder"](cfg)
    assert Path("run").exists()

    cfg.SOLVER.BASE_LR = 0.5
    tool["free_output_folder"](cfg)
    assert not Path("run").exists()
    assert Path("run.1/config.yaml").exists()
    printed = capsys.readouterr().out
    assert "another config, which is now run.1" in printed
    assert "SOLVER.BASE_LR: 0.001 there, 0.5 wanted" in printed


def test_the_summary_has_what_matters(tool, cfg):
    results = tool["train"](arguments(), cfg)
    title, _, header, _, row, *_ = tool["summarize"](cfg, "a.yaml", results).splitlines()
    assert title == "# a.yaml, 100 iterations, digits_val"
    names, values = (
        [cell.strip() for cell in line.strip("|").split("|")] for line in (header, row)
    )
    assert dict(zip(names, values, strict=True)) == {
        "AP without NMS": "1.0",
        "AP with NMS": "3.0",
        "NMS gap": "+2.0",
        "detections per found object": "1.25",
        "score gap": "0.50",
        "training": "1 min 15 s",
    }
