"""demo/cpp, built where CMake, OpenCV's and onnxruntime's C++ files are."""

import os
import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest
from onenet.predict import OnnxPredictor

FOLDER = os.environ.get("ONNXRUNTIME_CPP")  # holds include/ and lib/ of onnxruntime
pytestmark = [
    pytest.mark.skipif(not FOLDER, reason="ONNXRUNTIME_CPP names no onnxruntime for C++"),
    pytest.mark.skipif(not shutil.which("cmake"), reason="there is no CMake here"),
]


@pytest.fixture(scope="module")
def detect(tmp_path_factory):
    """Run the program; gives what it printed, its errors and its exit code."""
    source, build = Path(__file__).parents[2] / "demo" / "cpp", tmp_path_factory.mktemp("build")
    configure = ["cmake", "-S", source, "-B", build, f"-DCMAKE_PREFIX_PATH={FOLDER}"]
    for command in (configure, ["cmake", "--build", build]):
        subprocess.run(list(map(str, command)), check=True, capture_output=True)

    def run(*arguments):
        command = [str(build / "detect"), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True)
        return done.stdout, done.stderr, done.returncode

    return run


def test_it_detects_what_python_detects(detect, model_file, tmp_path):
    path, image = tmp_path / "a.png", np.full((30, 45, 3), 240, np.uint8)
    cv2.imwrite(str(path), image)
    (tmp_path / "broken.png").touch()
    output, errors, code = detect(model_file(), 0.4, tmp_path / "broken.png", path)
    found = OnnxPredictor(model_file(), threshold=0.4)(image)
    (line,) = output.splitlines()
    name, label, *numbers = line.split()
    assert (name, int(label)) == (str(path), found.classes[0])
    expected = [found.scores[0], *found.boxes[0]]
    np.testing.assert_allclose(list(map(float, numbers)), expected, rtol=1e-4)
    assert "broken.png: not an image" in errors
    assert code == 1


def test_a_model_that_is_not_ours_is_refused(detect, model_file):
    _, errors, code = detect(model_file(None, "other.onnx"), 0.4, "a.png")
    assert "not a model of this project" in errors
    assert code == 1


def test_a_trained_model_detects_the_same(detect, trained_model, scenes, expected, assert_same):
    output, _, _ = detect(trained_model, 0.2, *scenes)
    lines = [line.split() for line in output.splitlines()]
    for file, found in zip(scenes, expected, strict=True):
        mine = [
            (int(x[1]), float(x[2]), list(map(float, x[3:]))) for x in lines if x[0] == str(file)
        ]
        resized = cv2.imread(str(file)).shape[0] != 160  # by a filter that is not quite the same
        assert_same(found, mine, *((0.1, 2) if resized else (1e-4, 1e-2)))
