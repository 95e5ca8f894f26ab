import json

import pytest
from onenet.engine.earlier_run import meet_earlier_run


@pytest.fixture
def cfg(tiny_cfg, tmp_path):
    cfg = tiny_cfg()
    cfg.OUTPUT_DIR, cfg.SOLVER.BASE_LR = str(tmp_path), 0.001
    return cfg


def leave_a_run(cfg, folder):
    (folder / "config.yaml").write_text(cfg.dump())
    (folder / "metrics.json").write_text(json.dumps({"iteration": 3, "total_loss": 1.0}) + "\n")
    (folder / "last_checkpoint").write_text("model_final.pth")
    (folder / "model_final.pth").write_text("weights")


def test_an_empty_folder_is_nothing_to_tell_of(cfg, tmp_path):
    assert meet_earlier_run(cfg, resume=False) == []
    (tmp_path / "config.yaml").write_text(cfg.dump())  # of a run that did not get far
    assert meet_earlier_run(cfg, resume=False) == []
    assert meet_earlier_run(cfg, resume=True) == []
    assert [file.name for file in tmp_path.iterdir()] == ["config.yaml"]


def test_each_changed_key_is_told_when_going_on(cfg, tmp_path):
    leave_a_run(cfg, tmp_path)
    assert meet_earlier_run(cfg, resume=True) == []
    cfg.SOLVER.BASE_LR, cfg.SOLVER.OPTIMIZER, cfg.MODEL.WEIGHTS = 0.00001, "SGD", "other.pth"
    first, second = meet_earlier_run(cfg, resume=True)
    assert "SOLVER.BASE_LR" in first
    assert "1e-05 instead of 0.001" in first
    assert "SOLVER.OPTIMIZER" in second
    assert "'SGD' instead of 'ADAMW'" in second
    assert (tmp_path / "metrics.json").exists()


def test_going_on_without_a_checkpoint_begins_anew(cfg, tmp_path):
    leave_a_run(cfg, tmp_path)
    (tmp_path / "last_checkpoint").unlink()
    cfg.SOLVER.BASE_LR = 0.1
    assert meet_earlier_run(cfg, resume=True) == []


def test_the_records_of_another_run_are_put_aside(cfg, tmp_path):
    leave_a_run(cfg, tmp_path)
    (told,) = meet_earlier_run(cfg, resume=False)
    assert f'OUTPUT_DIR "{tmp_path}"' in told
    assert "--resume" in told
    assert '".1"' in told
    names = {file.name for file in tmp_path.iterdir()}
    kept = {"config.yaml.1", "metrics.json.1", "last_checkpoint.1"}
    assert names == {"config.yaml", "model_final.pth"} | kept
    assert json.loads((tmp_path / "metrics.json.1").read_text())["iteration"] == 3
    leave_a_run(cfg, tmp_path)
    assert '".2"' in meet_earlier_run(cfg, resume=False)[0]
    assert (tmp_path / "metrics.json.2").exists()
