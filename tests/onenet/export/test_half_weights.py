import numpy as np
import pytest
from onenet.export.half_weights import MIN_WEIGHTS, halve_weights

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")


def linear(*weights):
    """x + each of these weights."""
    from onnx import TensorProto, helper, numpy_helper

    size = len(weights[0])
    names = [f"w{i}" for i in range(len(weights))]
    sums = ["x", *(f"sum{i}" for i in range(len(weights) - 1)), "y"]
    nodes = [
        helper.make_node("Add", [sums[i], name], [sums[i + 1]]) for i, name in enumerate(names)
    ]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [size]) for name in "xy")
    values = [numpy_helper.from_array(w, name) for w, name in zip(weights, names, strict=True)]
    graph = helper.make_graph(nodes, "linear", [x], [y], values)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def run(model, x):
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(None, {"x": x})[0]


def test_a_model_computes_the_same_with_half_the_bytes():
    rng = np.random.default_rng(0)
    weights = [rng.standard_normal(4 * MIN_WEIGHTS).astype(np.float32) for _ in range(2)]
    model, x = linear(*weights), np.zeros(4 * MIN_WEIGHTS, np.float32)
    before, size = run(model, x), model.ByteSize()
    halve_weights(model)
    onnx.checker.check_model(model, full_check=True)
    assert model.ByteSize() < 0.52 * size
    expected = sum(w.astype(np.float16).astype(np.float32) for w in weights)
    np.testing.assert_array_equal(run(model, x), expected)
    np.testing.assert_allclose(before, expected, atol=4e-3)


@pytest.mark.parametrize(
    ("size", "value"), [(MIN_WEIGHTS - 1, 0.1), (MIN_WEIGHTS, 1e5)], ids=["small", "too large"]
)
def test_what_half_precision_does_not_suit_stays(size, value):
    model = linear(np.full(size, value, np.float32))
    before = model.SerializeToString()
    halve_weights(model)
    assert model.SerializeToString() == before
