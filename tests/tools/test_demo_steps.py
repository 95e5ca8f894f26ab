"""tools/demo_steps.py: what becomes of a run when it is asked for again."""

import json
import subprocess
from pathlib import Path

import pytest
from onenet import add_onenet_config  # before Detectron2, which it makes importable

# isort: split
from detectron2.config import get_cfg

TOOLS = Path(__file__).parents[2] / "tools"


@pytest.fixture
def steps(tmp_path, monkeypatch):
    """The module, where training only notes its command and writes metrics."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(TOOLS))
    import demo_steps

    commands = []

    def train(command):
        commands.append(command)
        Path("run").mkdir(exist_ok=True)
        record = {"iteration": 99, "time": 0.75, "bbox/AP": 1.0}
        Path("run/metrics.json").write_text(json.dumps(record))
        return subprocess.CompletedProcess(command, demo_steps.exit_code)

    monkeypatch.setattr(demo_steps, "exit_code", 0, raising=False)
    monkeypatch.setattr(demo_steps, "commands", commands, raising=False)
    monkeypatch.setattr(subprocess, "run", train)
    return demo_steps


@pytest.fixture
def cfg():
    cfg = get_cfg()
    add_onenet_config(cfg)
    cfg.OUTPUT_DIR, cfg.SOLVER.MAX_ITER, cfg.DATASETS.TEST = "run", 100, ("digits_val",)
    return cfg


def train(steps, cfg, *opts):
    return steps.train("2/3", "a.yaml", opts, cfg, step_seconds=0.3)


def test_training_goes_on_after_an_interruption(steps, cfg, capsys):
    Path("run").mkdir()
    Path("run/last_checkpoint").write_text("model_0000049.pth")
    assert train(steps, cfg, "SOLVER.MAX_ITER", "100")["bbox/AP"] == 1.0
    printed = capsys.readouterr().out
    assert "2/3 Training for 100 iterations, from model_0000049.pth on" in printed
    assert "about 1 min on 2 cores" in printed
    ((_, script, *flags),) = steps.commands
    assert Path(script).resolve() == TOOLS.parent / "train_net.py"
    assert flags == ["--config-file", "a.yaml", "--resume", "SOLVER.MAX_ITER", "100"]


def test_a_finished_training_is_not_repeated(steps, cfg):
    for _ in range(2):
        assert train(steps, cfg)["bbox/AP"] == 1.0
    assert len(steps.commands) == 1


def test_a_failed_training_ends_the_demo(steps, cfg):
    steps.exit_code = 3
    with pytest.raises(SystemExit) as caught:
        train(steps, cfg)
    assert caught.value.code == 3


def test_another_config_starts_anew(steps, cfg, capsys):
    Path("run").mkdir()
    Path("run/config.yaml").write_text(cfg.dump())
    steps.free_output_folder(cfg)
    assert Path("run").exists()

    cfg.SOLVER.BASE_LR = 0.5
    steps.free_output_folder(cfg)
    assert not Path("run").exists()
    assert Path("run.1/config.yaml").exists()
    printed = capsys.readouterr().out
    assert "another config, which is now run.1" in printed
    assert "SOLVER.BASE_LR: 0.001 there, 0.5 wanted" in printed


def test_the_time_of_training_is_that_of_its_steps(steps, cfg):
    train(steps, cfg)
    assert steps.training_time(cfg) == "1 min 15 s"


def test_the_end_shows_the_summary_and_names_the_pictures(steps, capsys):
    steps.finish(Path("summary.md"), "| AP |\n", [Path("a.png"), Path("b.png")])
    assert Path("summary.md").read_text() == "| AP |\n"
    assert capsys.readouterr().out.endswith("| AP |\n\nLook at\n  a.png\n  b.png\n")


def test_an_interruption_ends_with_one_line(steps, capsys):
    def main():
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as caught:
        steps.run_to_exit(main)
    assert caught.value.code == steps.INTERRUPTED
    assert capsys.readouterr().out == "\n[demo] Interrupted. Run it again to go on.\n"
