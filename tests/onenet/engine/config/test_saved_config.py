import pytest
from onenet.engine import config_differences, set_aside


@pytest.fixture
def saved(tiny_cfg, tmp_path):
    """A config, and the folder of a run with it."""
    folder = tmp_path / "run"
    folder.mkdir()
    cfg = tiny_cfg("CenterNet", "OUTPUT_DIR", str(folder))
    (folder / "config.yaml").write_text(cfg.dump())
    return cfg, folder


def test_the_same_config_has_no_differences(saved):
    cfg, folder = saved
    assert config_differences(cfg, folder) == []


def test_a_missing_folder_is_no_difference(saved, tmp_path):
    assert config_differences(saved[0], tmp_path / "elsewhere") == []


def test_each_difference_is_named(saved):
    cfg, folder = saved
    cfg.SOLVER.MAX_ITER = 7
    cfg.MODEL.OneNet.ASSIGNER.NAME = "ATSS"
    first, second = config_differences(cfg, folder)
    assert first == "MODEL.OneNet.ASSIGNER.NAME: 'MinCost' there, 'ATSS' wanted"
    assert second == "SOLVER.MAX_ITER: 40000 there, 7 wanted"


def test_a_key_that_is_new_is_a_difference(saved):
    cfg, folder = saved
    cfg.MODEL.OneNet.NEWER = 1
    assert config_differences(cfg, folder) == ["MODEL.OneNet.NEWER: 'absent' there, 1 wanted"]


def test_the_place_is_no_difference(saved):
    cfg, folder = saved
    moved = folder.rename(folder.with_name("moved"))
    cfg.OUTPUT_DIR, cfg.MODEL.DEVICE = str(moved), "cuda"
    assert config_differences(cfg, moved) == []


def test_what_is_off_without_a_gpu_is_no_difference_there(saved):
    cfg, folder = saved
    cfg.SOLVER.AMP.ENABLED = not cfg.SOLVER.AMP.ENABLED
    assert len(config_differences(cfg, folder)) == 1
    cfg.MODEL.DEVICE = "cuda"
    assert config_differences(cfg, folder) == []


def test_evaluating_a_run_does_not_make_it_another(saved):
    cfg, folder = saved
    evaluated = cfg.clone()
    evaluated.MODEL.WEIGHTS = str(folder / "model_final.pth")
    (folder / "config.yaml").write_text(evaluated.dump())
    assert config_differences(cfg, folder) == []
    evaluated.MODEL.WEIGHTS = "elsewhere/model_final.pth"
    (folder / "config.yaml").write_text(evaluated.dump())
    assert len(config_differences(cfg, folder)) == 1


@pytest.mark.parametrize("content", ["a: [", "", "just text"])
def test_a_broken_file_is_a_difference(saved, content):
    cfg, folder = saved
    (folder / "config.yaml").write_text(content)
    (difference,) = config_differences(cfg, folder)
    assert "cannot be read" in difference


def test_set_aside_keeps_what_was_set_aside_before(tmp_path):
    folder = tmp_path / "run"
    for number in (1, 2):
        folder.mkdir()
        (folder / "file").write_text(str(number))
        assert set_aside(folder) == tmp_path / f"run.{number}"
    assert not folder.exists()
    assert (tmp_path / "run.1" / "file").read_text() == "1"
