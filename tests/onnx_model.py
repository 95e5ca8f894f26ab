"""A model of a few nodes with the inputs and outputs of an exported one."""

import numpy as np
import pytest
from onenet.predict import ModelCard

CARD = ModelCard(("bright", "dark"), "BGR", 32, 64, 0.1, "0" * 64)


def make_model(card=CARD):
    """Finds the whole image twice: as bright as its first channel is, and without area."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from onnx import TensorProto, helper, numpy_helper

    constants = {
        "first": np.array([0], np.int64),
        "second": np.array([1], np.int64),
        "axis": np.array([1], np.int64),
        "full": np.array([255], np.float32),
        "half": np.array([[1.0, 0.05, 0.5]], np.float32),
        "template": np.array([[[0, 0, 8, 16], [0, 0, 8, 16], [3, 3, 3, 9]]], np.float32),
        "labels": np.array([[0, 1, 1]], np.int64),
        "two": np.array([2], np.int64),
        "three": np.array([3], np.int64),
        "four": np.array([4], np.int64),
    }
    nodes = [
        helper.make_node("Cast", ["images"], ["x"], to=TensorProto.FLOAT),
        helper.make_node("Slice", ["x", "first", "second", "axis"], ["channel"]),
        helper.make_node("Reshape", ["channel", "rows"], ["pixels"]),
        helper.make_node("ReduceMean", ["pixels"], ["mean"], axes=[1], keepdims=1),
        helper.make_node("Div", ["mean", "full"], ["level"]),
        helper.make_node("Mul", ["level", "half"], ["scores"]),
        helper.make_node("Shape", ["images"], ["shape"]),
        helper.make_node("Slice", ["shape", "first", "second"], ["batch"]),
        helper.make_node("Concat", ["batch", "three"], ["k"], axis=0),
        helper.make_node("Concat", ["k", "four"], ["k4"], axis=0),
        helper.make_node("Expand", ["template", "k4"], ["boxes"]),
        helper.make_node("Expand", ["labels", "k"], ["classes"]),
    ]
    constants["rows"] = np.array([0, -1], np.int64)
    graph = helper.make_graph(
        nodes,
        "whole_image",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["b", 3, "h", "w"])],
        [
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ["b", 3, 4]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["b", 3]),
            helper.make_tensor_value_info("classes", TensorProto.INT64, ["b", 3]),
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    if card is not None:
        helper.set_model_props(model, card.to_properties())
    return model
