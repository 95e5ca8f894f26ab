"""tools/ablate.py as a user runs it: a run that ends well, one that crashes, and both again."""

import json
import runpy
from pathlib import Path

import pytest
from onenet.errors import UserError

ROOT = Path(__file__).parents[2]
TOOL = ROOT / "tools" / "ablate.py"
TINY = ROOT / "tests" / "tiny_train.yaml"
CONFIG = f'_BASE_: "{TINY}"\nVERSION: 2\n'
EXPERIMENT = """
config_file: tiny.yaml
arms:
  min-cost: {}
  diverges: {SOLVER.BASE_LR: 1.0e+30, SOLVER.WARMUP_ITERS: 0}
"""


@pytest.fixture(scope="module")
def ablate(run_python, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ablation")
    (folder / "tiny.yaml").write_text(CONFIG)
    (folder / "experiment.yaml").write_text(EXPERIMENT)

    def ablate(*arguments):
        return run_python(folder, TOOL, *arguments)

    ablate.output = folder / "output" / "ablation" / "experiment"
    return ablate


def test_train_and_report(ablate):
    done = ablate("--experiment", "experiment.yaml")
    assert done.returncode == 1, done.stderr
    assert "min-cost, seed 1: AP 0.0, with NMS 0.0" in done.stdout
    assert "diverges, seed 1: FAILED, exit code 1" in done.stdout
    assert "failed: " in done.stderr

    results = json.loads((ablate.output / "results.json").read_text())
    well, crashed = (arm["runs"][0] for arm in results["arms"])
    assert well["status"] == "finished" and crashed["status"] == "failed"
    assert any("SOLVER.BASE_LR" in line for line in crashed["tail"])
    assert well["metrics"]["positives_per_gt"] == 1.0
    assert 0 < well["metrics"]["assignment_share"] < 100
    assert well["metrics"]["step_seconds"] > 0
    assert len(well["curves"]["ap"]) == 8
    assert {"total_loss", "bbox/AP"} <= results["history"].keys()
    assert len(results["scenes"]) == 4
    for scene in results["scenes"]:
        (picture,) = scene["pictures"].values()
        assert (ablate.output / picture["file"]).stat().st_size > 1000
        assert "positive samples for" in picture["caption"]
    assert "diverges, seed 1: failed" in (ablate.output / "report.md").read_text()
    assert "data:image/jpeg" in (ablate.output / "report.html").read_text()


def test_reported_again_without_training(ablate):
    log = ablate.output / "min-cost" / "seed1" / "log.txt"
    before = log.stat().st_mtime_ns
    done = ablate("--experiment", "experiment.yaml", "--report-only")
    assert done.returncode == 1 and "failed: " in done.stderr
    assert log.stat().st_mtime_ns == before


def test_another_config_is_refused(ablate):
    done = ablate("--experiment", "experiment.yaml", "SOLVER.MAX_ITER", "4")
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "SOLVER.MAX_ITER: 3 there, 4 wanted" in line


@pytest.fixture
def arguments(monkeypatch):
    """The experiment of a command line, without running anything."""
    tool = runpy.run_path(str(TOOL))
    return lambda *argv: tool["read_arguments"](tool["parse_args"](argv))


def test_what_a_command_line_asks_for(arguments):
    vary = ["--vary", "MODEL.OneNet.ASSIGNER.NAME=MinCost,FCOS", "--vary", "SEED_X=1,2"]
    experiment = arguments("--config-file", "a.yaml", *vary, "--seeds", "2", "A.B", "5")
    assert [arm.label for arm in experiment.arms][:2] == [
        "ASSIGNER.NAME=MinCost, SEED_X=1",
        "ASSIGNER.NAME=MinCost, SEED_X=2",
    ]
    assert len(experiment.arms) == 4
    assert experiment.seeds == (1, 2)
    assert all(arm.opts["A.B"] == "5" for arm in experiment.arms)
    experiment = arguments("--config-file", "a.yaml", *vary, "--list", "--seeds", "4,7")
    assert len(experiment.arms) == 2
    assert experiment.seeds == (4, 7)


def test_a_dry_run_checks_data_as_well(few_digits, tmp_path, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(few_digits))
    (tmp_path / "tiny.yaml").write_text(CONFIG)
    main = runpy.run_path(str(TOOL))["main"]
    vary = ["--vary", "MODEL.OneNet.CLASS_COST=0,2", "--dry-run", "--output", str(tmp_path / "out")]
    with pytest.raises(
        UserError, match=r'arm "OneNet.CLASS_COST=0": unknown dataset "digits_trai"'
    ):
        main(
            [
                "--config-file",
                str(tmp_path / "tiny.yaml"),
                *vary,
                "DATASETS.TRAIN",
                "['digits_trai']",
            ]
        )
    assert not (tmp_path / "out").exists()


def test_options_without_a_cluster(tmp_path):
    tool = runpy.run_path(str(TOOL))
    args = tool["parse_args"](["--experiment", "a.yaml", "--cluster-options", "nodes=2"])
    with pytest.raises(UserError, match="--cluster-options goes with --cluster slurm"):
        tool["find_cluster"](args, tmp_path)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--config-file", "a.yaml"], "nothing is varied"),
        (["--config-file", "a.yaml", "--vary", "A=1", "B"], '"B" has no value'),
        (["--config-file", "a.yaml", "--vary", "A=1,2", "A", "3"], "A is varied, and set to 3"),
        (["--config-file", "a.yaml", "--vary", "A=1", "--vary", "A=2"], "names a key twice"),
        (["--config-file", "a.yaml", "--vary", "A=1", "--seeds", "x"], "--seeds must be a number"),
        (["--config-file", "a.yaml", "--vary", "A=1", "--seeds", "0"], "seeds must be a positive"),
        (["--experiment", "a.yaml", "--vary", "A=1"], "--vary goes with --config-file"),
    ],
)
def test_command_lines_that_cannot_be(arguments, argv, message):
    with pytest.raises(ValueError) as caught:
        arguments(*argv)
    assert message in str(caught.value)
