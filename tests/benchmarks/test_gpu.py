"""benchmarks/gpu.py as far as a CPU can tell: it runs, and compares like with like."""

import json
import sys
from pathlib import Path

import onenet  # noqa: F401  (makes older Detectron2 versions importable)

# isort: split
import pytest
import torch
from detectron2.utils.events import get_event_storage

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "benchmarks"


@pytest.fixture
def scripts(monkeypatch):
    """The modules of benchmarks/, as its programs import them."""
    monkeypatch.syspath_prepend(FOLDER)
    import gpu
    import gpu_report
    import gpu_step

    yield {"gpu": gpu, "report": gpu_report, "step": gpu_step}
    for name in ("gpu", "gpu_report", "gpu_step", "official_step"):
        del sys.modules[name]


@pytest.fixture(scope="module")
def written(run_python, tmp_path_factory):
    folder = tmp_path_factory.mktemp("gpu")
    done = run_python(ROOT, FOLDER / "gpu.py", "--device", "cpu", "--quick", "--out", folder)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def test_all_numbers_and_a_table(written):
    folder, printed = written
    found = json.loads((folder / "gpu.json").read_text())
    assert found["environment"]["device"] == "cpu"
    settings = [setting for setting, _ in found["steps"]]
    assert {s["code"] for s in settings} == {"ours", "official", "official, argmin"}
    assert {s["precision"] for s in settings} == {"float32", "bfloat16"}
    for _, taken in found["steps"]:
        phases = taken["milliseconds"]
        assert list(phases) == ["forward", "assignment", "losses", "backward", "optimizer"]
        assert all(value > 0 for value in phases.values())
    (stages,) = found["stages"]
    assert stages["images"] == 1 and stages["top_k"] < stages["network"]
    table = (folder / "gpu.md").read_text()
    assert table in printed
    assert table.count("| digits/onenet_R18_digits |") == len(settings)


def test_a_trace(written):
    folder, _ = written
    assert (folder / "trace.json.gz").stat().st_size > 1000


def test_without_a_gpu_it_says_so(run_python, tmp_path):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    done = run_python(ROOT, FOLDER / "gpu.py", "--out", tmp_path / "out")
    assert done.returncode == 1
    assert "--device cpu --quick" in done.stderr
    assert not (tmp_path / "out").exists()


def test_the_matrix_is_whole_and_begins_with_the_usual(scripts):
    gpu, step = scripts["gpu"], scripts["step"]
    settings = step.matrix(gpu.CONFIGS, gpu.SIZES, gpu.BATCHES)
    assert settings[0] == step.Setting("onenet_R50", (512, 853), 16)
    assert len(set(settings)) == len(settings) == (5 + 3) * 2 * 3 * 2 * 2
    assert {s.config for s in settings if s.size == (800, 1333)} == {
        "onenet_fcos_R50",
        "onenet_retinanet_R50",
        "onenet_fcos_R50_selector",
    }
    assert {s.precision for s in settings[:4]} == {"float32", "bfloat16"}


def test_a_model_of_detectron2_may_log(scripts):
    step = scripts["step"]

    class Logs(torch.nn.Linear):
        def forward(self, inputs):
            get_event_storage().put_scalar("images", len(inputs))
            return {"loss": self.weight.sum()}

    setting = step.Setting("digits/onenet_R18_digits", (64, 96), 2)
    taken = step.measure(step.DetectronStep(Logs(1, 1), setting, "cpu"), 2, "cpu", 2, 1)
    assert list(taken.milliseconds) == ["forward", "backward", "optimizer"]


def test_what_does_not_fit_into_the_time_is_left_out_and_named(scripts, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(scripts["gpu"].time, "perf_counter", lambda: clock[0])
    results, written, measured = scripts["report"].Results(), [], []
    budget = scripts["gpu"].Budget(1, results, lambda: written.append(1))

    def take(seconds):
        measured.append(seconds)
        clock[0] += seconds

    budget.spend("compiled", "too long as it is", lambda: take(0))  # expected: 75 s
    budget.spend("step", "first", lambda: take(40))
    budget.spend("step", "second", lambda: take(40))  # 40 s are expected now, 20 are left
    budget.spend("inference", "third", lambda: take(1))
    assert measured == [40]
    assert [what for what, _ in results.left_out] == ["too long as it is", "second", "third"]
    assert len(written) == 1


def test_an_error_costs_one_measurement(scripts):
    results = scripts["report"].Results()
    budget = scripts["gpu"].Budget(1, results, lambda: None)
    budget.spend("step", "large", lambda: 1 / 0)
    assert results.left_out == [("large", "ZeroDivisionError: division by zero")]
