"""Halve the size of a model file: keep weights in half precision, and compute in single."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from onnx import ModelProto

MIN_WEIGHTS = 1024  # smaller tensors are not worth a node


def halve_weights(model: ModelProto) -> None:
    """Store the large float32 weights of a model as float16, in place.

    A Cast brings each back to float32; onnxruntime does that once, when it loads the model. So the
    graph computes what it did, with weights rounded to 11 bits.
    """
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT:
            continue
        weights = numpy_helper.to_array(tensor)
        with np.errstate(over="ignore"):
            halved = weights.astype(np.float16)
        if weights.size < MIN_WEIGHTS or not np.isfinite(halved).all():
            continue
        name, stored = tensor.name, f"{tensor.name}_half"
        tensor.CopyFrom(numpy_helper.from_array(halved, stored))
        casts.append(helper.make_node("Cast", [stored], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
