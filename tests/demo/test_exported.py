"""demo.py with an exported model: the tiny one of onnx_model.py, which finds bright images."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from onenet.errors import UserError


@pytest.fixture
def demo(model_file, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "demo"))
    import demo as program

    return lambda *arguments: program.main(["--model", str(model_file()), *map(str, arguments)])


def write_image(path, level, size=(16, 24)):
    assert cv2.imwrite(str(path), np.full((*size, 3), level, np.uint8))
    return path


def test_results_in_cocos_format(demo, tmp_path):
    (tmp_path / "a.png").touch()
    write_image(tmp_path / "b.png", 255)
    write_image(tmp_path / "c.png", 20)
    output = tmp_path / "found" / "results.json"
    assert demo("--input", tmp_path, "--output", output) == 1  # for a.png
    (line,) = json.loads(output.read_text())
    assert (line["image_id"], line["category_id"], line["category_name"]) == (1, 0, "bright")
    assert line["bbox"] == pytest.approx([0, 0, 4, 8])
    assert line["score"] == pytest.approx(1)
    assert line["file_name"] == str(tmp_path / "b.png")


def test_results_of_a_video(demo, tmp_path):
    source = tmp_path / "in.avi"
    writer = cv2.VideoWriter(str(source), cv2.VideoWriter_fourcc(*"MJPG"), 10, (24, 16))
    for level in (0, 250, 250):
        writer.write(np.full((16, 24, 3), level, np.uint8))
    writer.release()
    output = tmp_path / "results.json"
    assert demo("--video-input", source, "--output", output) == 0
    assert [line["image_id"] for line in json.loads(output.read_text())] == [1, 2]


def test_side_by_side_with_nms(demo, tmp_path):
    source, output = write_image(tmp_path / "a.png", 255), tmp_path / "out.png"
    arguments = ["--input", source, "--output", output, "--confidence-threshold", 0]
    assert demo(*arguments, "--compare-nms", 0.5) == 0
    picture = cv2.imread(str(output))
    assert picture.shape == (16, 48, 3)
    assert (picture[:, :24] != picture[:, 24:]).sum() == 0  # classes differ, so nothing is lost


def test_an_exported_model_has_no_config(demo, tmp_path):
    source = write_image(tmp_path / "a.png", 255)
    with pytest.raises(UserError, match="--opts"):
        demo("--input", source, "--output", tmp_path / "out", "--opts", "MODEL.DEVICE", "cpu")
