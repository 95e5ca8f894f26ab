"""The page's JavaScript does what the package does; run in Node.js, without a browser."""

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from onenet.predict import BasePredictor, ModelCard, OnnxPredictor

NODE = shutil.which("node")
WEB = Path(__file__).parents[2] / "demo" / "web"
RUNTIME = WEB / "node_modules/onnxruntime-web/dist/ort.node.min.mjs"
CARD = ModelCard(("größe", "b"), "BGR", 32, 64, 0.1)
FOUND = {
    "boxes": [[1.5, 2, 8, 11.25], [0, 0, 12, 12], [4, 4, 4, 9], [5, 5, 6, 6]],
    "scores": [0.9, 0.6, 0.5, 0.05],
    "classes": [1, 0, 1, 1],
}

pytestmark = pytest.mark.skipif(NODE is None, reason="there is no Node.js here")
installed = pytest.mark.skipif(not RUNTIME.exists(), reason="npm install --prefix demo/web")


class Pretended(BasePredictor):
    """The network returns FOUND."""

    def run(self, batch):
        boxes, scores = (np.array(FOUND[key], np.float32) for key in ("boxes", "scores"))
        return [(boxes, scores, np.array(FOUND["classes"]))]


def run_core(model, image, runtime):
    """What the JavaScript makes of a BGR image."""
    height, width = image.shape[:2]
    opaque = np.full((height, width, 1), 255, np.uint8)
    pixels = np.concatenate([image[..., ::-1], opaque], axis=2).tobytes()
    script = Path(__file__).with_name("run_web_core.mjs")
    command = [NODE, script, model, width, height, runtime]
    done = subprocess.run(list(map(str, command)), input=pixels, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


@pytest.fixture
def outputs(tmp_path):
    path = tmp_path / "outputs.json"
    path.write_text(json.dumps(FOUND))
    return path


def assert_equal(detections, found, names):
    assert [x["name"] for x in detections] == [names[label] for label in found.classes]
    np.testing.assert_allclose([x["score"] for x in detections], found.scores, atol=1e-3)
    np.testing.assert_allclose([x["box"] for x in detections], found.boxes, atol=1e-2)


@pytest.mark.parametrize("order", ["RGB", "BGR"])
@pytest.mark.parametrize("size", [(45, 77), (20, 13), (1, 1), (90, 20), (32, 32)])
def test_it_prepares_images_and_reads_outputs_as_python_does(
    model_file, outputs, noise, size, order
):
    card = replace(CARD, channel_order=order)
    model, image = model_file(card, f"{order}.onnx"), noise(*size)
    result = run_core(model, image, outputs)
    assert result["card"] == {
        "classNames": ["größe", "b"],
        "channelOrder": order,
        "shorterSide": 32,
        "longestSide": 64,
        "scoreThreshold": 0.1,
    }
    predictor = Pretended(card)
    expected = predictor.prepare(image)
    prepared = np.array(result["prepared"]).reshape(3, *result["size"].values())
    assert prepared.shape == expected.shape
    assert np.abs(prepared - expected.astype(int)).max() <= 1  # they round in other precisions
    assert_equal(result["detections"], predictor(image), card.class_names)


def test_images_may_stay_as_they_are(model_file, outputs, noise):
    image = noise(21, 34)
    result = run_core(model_file(replace(CARD, shorter_side=0), "any.onnx"), image, outputs)
    prepared = np.array(result["prepared"], np.uint8).reshape(3, 21, 34)
    np.testing.assert_array_equal(prepared.transpose(1, 2, 0), image)


@pytest.mark.parametrize(
    "content",
    [b"", b"junk" * 99, None],
    ids=["empty", "junk", "another model"],
)
def test_files_that_are_no_model_are_refused(model_file, outputs, noise, tmp_path, content):
    model = model_file(None, "other.onnx")
    if content is not None:
        model = tmp_path / "model.onnx"
        model.write_bytes(content)
    error = run_core(model, noise(8, 8), outputs)["error"]
    assert error.startswith("not a model of this project")


@installed
def test_it_detects_what_python_detects(model_file, noise):
    image = noise(40, 60) // 2 + 120
    result = run_core(model_file(CARD), image, RUNTIME)
    found = OnnxPredictor(model_file(CARD))(image)
    assert len(found) == 1
    assert_equal(result["detections"], found, CARD.class_names)


@installed
def test_a_trained_model_detects_the_same(trained_model, scenes, expected, assert_same):
    classes = {name: label for label, name in enumerate(OnnxPredictor(trained_model).class_names)}
    for file, found in list(zip(scenes, expected, strict=True))[::4]:
        detections = run_core(trained_model, cv2.imread(str(file)), RUNTIME)["detections"]
        mine = [(classes[x["name"]], x["score"], x["box"]) for x in detections]
        assert_same(found, mine, 1e-3, 1e-2)
