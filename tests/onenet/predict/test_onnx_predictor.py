import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from onenet.errors import UserError
from onenet.predict import ModelCard, OnnxPredictor

from ...onnx_model import CARD

PROJECT = Path(__file__).parents[3] / "projects" / "OneNet"

WITHOUT_TORCH = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchvision", "detectron2", "fvcore", "cv2"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Block())
from onenet.predict import OnnxPredictor
found = OnnxPredictor(sys.argv[1])(sys.argv[2])
assert len(found) == 1 and found.boxes.shape == (1, 4), found
assert not {"torch", "detectron2"} & sys.modules.keys()
import onenet
try:
    onenet.OneNet
except ImportError as error:
    print(error)
"""


@pytest.fixture(scope="module")
def predictor(model_file):
    return OnnxPredictor(model_file())


def grey(height, width, level):
    return np.full((height, width, 3), level, np.uint8)


def test_boxes_are_in_pixels_of_the_image(predictor):
    found = predictor(grey(16, 24, 255))  # 32 x 48 in the network
    assert found.image_size == (16, 24)
    np.testing.assert_allclose(found.boxes, [[0, 0, 4, 8]])
    np.testing.assert_allclose(found.scores, [1.0])
    assert found.classes.tolist() == [0]
    assert predictor.class_names == ("bright", "dark")


def test_threshold_and_boxes_without_area(model_file):
    found = OnnxPredictor(model_file(), threshold=0.0)(grey(16, 24, 255))
    assert found.scores.tolist() == pytest.approx([1, 0.05])  # not the one of no width
    assert len(found.above(0.5)) == 1
    assert len(OnnxPredictor(model_file(), threshold=0.9)(grey(16, 24, 100))) == 0


def test_channel_order(model_file):
    blue = np.zeros((8, 8, 3), np.uint8)
    blue[..., 0] = 255
    assert len(OnnxPredictor(model_file())(blue)) == 1
    rgb = model_file(replace(CARD, channel_order="RGB"), "rgb.onnx")
    assert len(OnnxPredictor(rgb)(blue)) == 0


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_a_list_is_as_one_by_one(model_file, batch_size, tmp_path):
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), grey(20, 20, 77))
    images = [grey(16, 24, 255), grey(24, 16, 200), path, grey(8, 12, 90), str(path)]
    predictor = OnnxPredictor(model_file(), batch_size=batch_size)
    for image, found in zip(images, predictor(images), strict=True):
        alone = predictor(image)
        np.testing.assert_allclose(found.boxes, alone.boxes)
        np.testing.assert_allclose(found.scores, alone.scores)
        assert found.image_size == alone.image_size


def test_bad_images_are_named_and_the_others_done(predictor, tmp_path):
    empty = tmp_path / "empty.png"
    empty.touch()
    images = [
        empty,
        np.zeros((4, 4, 4), np.uint8),
        grey(8, 8, 255),
        grey(8, 8, 1).astype(np.uint16),
    ]
    images += [None, grey(1, 1, 255), tmp_path / "none.png"]
    found = predictor(images)
    assert [len(x) for x in found] == [0, 0, 1, 0, 0, 1, 0]
    errors = [x.error for x in found]
    assert "empty.png: the file is empty" in errors[0]
    assert errors[1].startswith("image 1: ") and "4 channels" in errors[1]
    assert errors[3].startswith("image 3: ") and "uint16" in errors[3]
    assert "NoneType" in errors[4]
    assert "none.png" in errors[6]
    assert errors[2] == errors[5] == ""
    for image, error in zip(images, errors, strict=True):
        if error:
            with pytest.raises(UserError, match=error.split(": ")[-1].split("(")[0]):
                predictor(image)


def test_no_images(predictor):
    assert predictor([]) == []


def test_model_files_that_are_not_ours(model_file, tmp_path):
    with pytest.raises(UserError, match=r"other.onnx: not a model of this project"):
        OnnxPredictor(model_file(None, "other.onnx"))
    junk = tmp_path / "junk.onnx"
    junk.write_bytes(b"junk")
    with pytest.raises(UserError, match=r"junk.onnx: not a model that onnxruntime can run"):
        OnnxPredictor(junk)
    with pytest.raises(UserError, match="there is no such file"):
        OnnxPredictor(tmp_path / "none.onnx")


def test_providers_go_by_onnxruntimes_names(model_file):
    with pytest.raises(UserError, match='Did you mean "CPUExecutionProvider"'):
        OnnxPredictor(model_file(), providers=["CpuExecutionProvder"])
    predictor = OnnxPredictor(model_file(), providers=[("CPUExecutionProvider", {})])
    assert len(predictor(grey(8, 8, 255))) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"onenet_format": "99"}, "of format 99"),
        ({"shorter_side": "wide"}, "damaged"),
        ({"channel_order": "YUV"}, 'order "YUV"'),
    ],
)
def test_cards_that_cannot_be_read(change, message):
    assert ModelCard.from_properties(CARD.to_properties(), "m") == CARD
    with pytest.raises(UserError, match=message):
        ModelCard.from_properties({**CARD.to_properties(), **change}, "m")


def test_nothing_of_pytorch_is_needed(model_file, tmp_path):
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), grey(20, 20, 255))
    command = [sys.executable, "-c", WITHOUT_TORCH, str(model_file()), str(path)]
    path = os.pathsep.join([str(PROJECT), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path}
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stderr
    (line,) = result.stdout.splitlines()
    assert "onenet.OneNet needs PyTorch" in line and "make install" in line
