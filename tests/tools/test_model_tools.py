"""tools/analyze_model.py and tools/benchmark.py."""

import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DIGITS = ROOT / "configs" / "digits" / "onenet_R18_digits.yaml"


@pytest.fixture
def run(monkeypatch, capsys):
    """Run a tool in this process; returns the lines that it prints."""

    def run(tool, *arguments):
        path = ROOT / "tools" / tool
        monkeypatch.setattr(sys, "argv", [str(path), *map(str, arguments)])
        runpy.run_path(str(path), run_name="__main__")
        return capsys.readouterr().out.splitlines()

    return run


def test_analyze_model(run):
    lines = run("analyze_model.py", "--config-file", DIGITS, "--size", 64, 64, "--max-depth", 1)
    assert any(line.startswith("| backbone") for line in lines)
    assert "M parameters" in lines[-1]
    assert "for one image of 64 x 64" in lines[-1]


def test_benchmark(run):
    sizes = ["--size", 64, 96, "--iterations", 2, "--warmup", 1]
    options = ["SOLVER.IMS_PER_BATCH", 2]
    lines = run("benchmark.py", "--config-file", DIGITS, "--task", "train,eval", *sizes, *options)
    assert [line.split()[1] for line in lines[-2:]] == ["train", "eval"]


def test_benchmark_of_stages(run):
    sizes = ["--size", 64, 96, "--batch", 1, 2, "--iterations", 1, "--warmup", 0]
    runtime = ["--runtime", "pytorch", "--cpu-time"]
    lines = run("benchmark.py", "--config-file", DIGITS, "--task", "stages", *sizes, *runtime)
    assert [line.split("|")[3].strip() for line in lines[-2:]] == ["1", "2"]


def test_missing_data_is_told_before_anything_else(run, capsys):
    with pytest.raises(SystemExit):
        run("benchmark.py", "--config-file", DIGITS, "--task", "data", "DATASETS.TRAIN", "('no',)")
    assert capsys.readouterr().err.startswith('error: unknown dataset "no"')


def test_unknown_task(run, capsys):
    with pytest.raises(SystemExit):
        run("benchmark.py", "--config-file", DIGITS, "--task", "train,evl")
    assert 'unknown task "evl". Did you mean "eval"?' in capsys.readouterr().err


@pytest.mark.parametrize(
    ("tool", "options", "named"),
    [
        ("benchmark.py", ["--task", "eval", "--iterations", 0], "--iterations: 0 is below 1"),
        ("benchmark.py", ["--task", "eval", "--size", 64, -1], "--size: -1 is below 1"),
        ("benchmark.py", ["--task", "stages", "--batch", 0], "--batch: 0 is below 1"),
        ("analyze_model.py", ["--size", 0, 64], "--size: 0 is below 1"),
        ("ablate.py", ["--jobs", 0], "--jobs: 0 is below 1"),
        ("visualize_data.py", ["--max-images", -1], "--max-images: -1 is below 1"),
        ("analyze_model.py", ["--max-depth", "x"], "--max-depth: invalid whole_number value: 'x'"),
    ],
)
def test_numbers_that_cannot_be(run, capsys, tool, options, named):
    with pytest.raises(SystemExit):
        run(tool, "--config-file", DIGITS, *options)
    assert named in capsys.readouterr().err
