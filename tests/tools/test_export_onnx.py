"""tools/export_onnx.py, without the export itself."""

import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from onenet.errors import UserError
from onenet.export import Verification

ROOT = Path(__file__).parents[2]
DIGITS = ROOT / "configs" / "digits" / "onenet_R18_digits.yaml"


@pytest.fixture
def run(monkeypatch):
    """Run the tool in this process with ``export`` in place of the export."""

    def run(export, *arguments):
        path = ROOT / "tools" / "export_onnx.py"
        monkeypatch.setattr("onenet.export.export_model", export)
        monkeypatch.setattr(sys, "argv", [str(path), *map(str, arguments)])
        runpy.run_path(str(path), run_name="__main__")

    return run


def test_options_may_stand_before_the_output(run, tmp_path, capsys):
    image = tmp_path / "a.png"
    cv2.imwrite(str(image), np.full((4, 6, 3), 7, np.uint8))
    calls = []

    def export(cfg, output, images):
        calls.append((cfg.MODEL.WEIGHTS, cfg.MODEL.DEVICE, output, [x.shape for x in images]))
        return Verification(batches=4, detections=12)

    weights = ["MODEL.WEIGHTS", "model.pth"]
    command = ["--config-file", DIGITS, *weights, "--output", "model.onnx", "--images", image]
    run(export, *command)
    assert calls == [("model.pth", "cpu", "model.onnx", [(4, 6, 3)])]
    assert "model.onnx: the same as PyTorch in 4 batches" in capsys.readouterr().out


def test_a_mismatch_ends_with_one_line(run, capsys):
    def export(cfg, output, images):
        raise UserError("model.onnx is not written, it would detect otherwise: class 1")

    with pytest.raises(SystemExit, match="1"):
        run(export, "--config-file", DIGITS, "--output", "model.onnx")
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: model.onnx is not written")
