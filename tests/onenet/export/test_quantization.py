"""Models of 8-bit convolutions."""

import runpy
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from onenet.errors import UserError
from onenet.export import quantize
from onenet.export.quantization import nodes_to_quantize

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


def make_graph(*nodes):
    helper = onnx.helper
    made = [
        helper.make_node(kind, inputs.split(), [output], name=output)
        for kind, inputs, output in nodes
    ]
    return helper.make_model(helper.make_graph(made, "graph", [], []))


def test_what_stands_between_convolutions_and_nothing_else():
    model = make_graph(
        ("Cast", "images", "x"),
        ("Add", "x mean", "shifted"),  # before the first
        ("Conv", "shifted w1", "a"),
        ("Relu", "a", "b"),
        ("Conv", "b w2", "c"),
        ("Add", "b c", "d"),  # leads to the next
        ("Sigmoid", "d", "e"),  # not one that has 8 bits
        ("ConvTranspose", "e w3", "f"),
        ("Conv", "f w4", "logits"),
        ("Relu", "logits", "distances"),  # behind the last
        ("Add", "points distances", "boxes"),
    )
    assert nodes_to_quantize(model) == ["a", "b", "c", "d", "logits"]


def test_a_selector_and_what_it_compares_stay_exact():
    model = make_graph(
        ("Conv", "images w1", "a"),
        ("Relu", "a", "feature"),
        ("Conv", "feature w2", "logits"),
        ("Conv", "feature w3", "distances"),
        ("Relu", "distances", "boxes"),
        ("ArgMax", "logits", "labels"),
        ("Add", "boxes labels", "margins"),
        ("Conv", "feature w4", "c"),
        ("Conv", "margins w5", "d"),
        ("Add", "c d", "e"),
        ("Relu", "e", "f"),
        ("Conv", "f w6", "selection"),
    )
    assert nodes_to_quantize(model) == ["a", "feature"]


def test_what_cannot_be_quantised_is_said_at_once(model_file, tmp_path):
    image = np.zeros((8, 8, 3), np.uint8)
    with pytest.raises(UserError, match="must end in .onnx"):
        quantize(model_file(), tmp_path / "model.pt2", [image])
    with pytest.raises(UserError, match="there is no folder"):
        quantize(model_file(), tmp_path / "no" / "model.onnx", [image])
    with pytest.raises(UserError, match="no images to calibrate on"):
        quantize(model_file(), tmp_path / "model.onnx", [])
    with pytest.raises(UserError, match="no convolutions"):
        quantize(model_file(), tmp_path / "model.onnx", [image])
    assert not list(tmp_path.iterdir())


def test_tool(model_file, few_digits_names, tmp_path, monkeypatch, capsys):
    """What it takes images from, and the table that it prints."""
    calls = []

    def copy(model, output, images):
        calls.append(len(images))
        shutil.copy(model, output)

    tool = Path(__file__).parents[3] / "tools" / "quantize_onnx.py"
    output = tmp_path / "model_int8.onnx"
    arguments = ["--model", model_file(), "--output", output, "--count", 3]
    arguments += ["--dataset", few_digits_names["train"], "--evaluate", few_digits_names["val"]]
    monkeypatch.setattr("onenet.export.quantize", copy)
    monkeypatch.setattr(sys, "argv", [str(tool), *map(str, arguments)])
    runpy.run_path(str(tool), run_name="__main__")
    assert calls == [3]
    lines = capsys.readouterr().out.splitlines()
    assert f"{output}: calibrated on 3 images" in lines
    first, second = ([cell.strip() for cell in line.split("|")[1:-1]] for line in lines[-2:])
    assert (first[0], second[0]) == ("model.onnx", "model_int8.onnx")
    assert first[1:4] == second[1:4]
