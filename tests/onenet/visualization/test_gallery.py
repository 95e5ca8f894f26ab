import json
import logging

import cv2
import pytest
import torch
from detectron2.modeling import build_model
from onenet.visualization import draw_gallery, gallery_files
from onenet.visualization.draw import PANEL_SIDE


@pytest.fixture
def run(tiny_cfg, few_digits_names, tmp_path):
    """A config, and in its output folder what a run leaves there."""
    cfg = tiny_cfg("CenterNet", "OUTPUT_DIR", str(tmp_path), "INPUT.MIN_SIZE_TEST", "64")
    cfg.MODEL.OneNet.NUM_CLASSES = 10
    cfg.DATASETS.TEST = (few_digits_names["val"],)
    for name in ("model_initial.pth", "model_final.pth"):
        torch.save({"model": build_model(cfg).state_dict()}, tmp_path / name)
    (tmp_path / "last_checkpoint").write_text("model_final.pth")
    (tmp_path / "metrics.json").write_text(json.dumps({"iteration": 19, "total_loss": 1.0}))
    return cfg


def test_a_finished_run_gets_its_pictures(run, tmp_path):
    files = draw_gallery(run)
    assert files == gallery_files(tmp_path)
    sheet, curves, positives = (cv2.imread(str(file)) for file in files)
    assert min(sheet.shape[:2]) > 2 * PANEL_SIDE
    assert positives.shape[0] > 2 * PANEL_SIDE  # before and after
    assert curves is not None
    singles = list((tmp_path / "pictures" / "scenes").iterdir())
    assert len(singles) == 4


def test_without_initial_weights_the_start_is_left_out(run, tmp_path, caplog):
    (tmp_path / "model_initial.pth").unlink()
    with caplog.at_level(logging.WARNING, logger="onenet"):
        _, _, positives = draw_gallery(run)
    assert cv2.imread(str(positives)).shape[0] < 2 * PANEL_SIDE
    assert "model_initial.pth is missing" in caplog.text
