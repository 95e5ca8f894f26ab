"""Make the convolutions of an exported model compute with 8 bits."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from ..errors import UserError
from ..files import complete_file
from ..predict.images import Image, load_image
from ..predict.onnx_predictor import OnnxPredictor, open_session
from .export import check_output

if TYPE_CHECKING:
    from onnx import ModelProto

CONVOLUTION = "Conv"
QUANTIZED = "QuantizeLinear"
# What else has 8-bit kernels in onnxruntime's CPU provider and stands between convolutions.
# Transposed and deformable convolutions have none; they stay in float32.
BETWEEN = ("Relu", "Clip", "Add", "MaxPool")
# What follows one of these compares detections.
CHOICES = ("ArgMax", "TopK")

Feed: TypeAlias = "dict[str, np.ndarray]"


def quantize(model: str | os.PathLike, output: str | os.PathLike, images: Sequence[Image]) -> None:
    """Write a model of 8-bit convolutions ("QDQ"), calibrated on images.

    Static quantisation: the range of every activation is what it is on the images, so they should
    be like those to come. Weights have a scale for each output channel. They use 7 bits, because
    with 8 the sums of x86 processors without VNNI would overflow. What makes boxes of the
    network's outputs, compares them and picks the best stays in float32.

    Args:
        model: a file of ``tools/export_onnx.py``.
        output: the file to write; it gets the metadata of ``model``.
        images: what :class:`OnnxPredictor` takes.

    Raises:
        UserError: a file or an image cannot be used, or a package is missing. There is no such
            file then, and one that was there before is untouched.
    """
    output = Path(output)
    check_output(output, (".onnx",))
    if not len(images):
        raise UserError("there are no images to calibrate on")
    predictor = OnnxPredictor(model)
    try:
        import onnx
        from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    except ImportError as error:
        raise UserError(f"{error}: pip install 'onnx' 'onnxruntime'") from None
    graph = onnx.load(os.fspath(model))
    nodes = nodes_to_quantize(graph)
    if not nodes or any(node.op_type == QUANTIZED for node in graph.graph.node):
        raise UserError(f"{model}: has no convolutions, or has them in 8 bits already")
    with complete_file(output) as partial:
        logging.disable(logging.WARNING)  # it recommends what the exporter has done
        try:
            quantize_static(
                graph,
                partial,
                _Calibration(predictor, images),
                quant_format=QuantFormat.QDQ,
                nodes_to_quantize=nodes,
                per_channel=True,
                reduce_range=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
            )
        finally:
            logging.disable(logging.NOTSET)
        open_session(partial)


def nodes_to_quantize(model: ModelProto) -> list[str]:
    """Names of the convolutions and of what stands between them, by the graph's own order.

    Without those of a selector, and without the scores and boxes that it compares: in 8 bits many
    neighbours have equal ones.
    """
    derived: set[str] = set()  # tensors that depend on a convolution
    chosen: set[str] = set()  # tensors that depend on a choice
    for node in model.graph.node:
        if node.op_type == CONVOLUTION or derived.intersection(node.input):
            derived.update(node.output)
        if node.op_type in CHOICES or chosen.intersection(node.input):
            chosen.update(node.output)
    needed: set[str] = set()  # tensors that a convolution depends on
    compared: set[str] = set()  # tensors from which a selector's input is made without one
    names = []
    for node in reversed(model.graph.node):
        if node.op_type == CONVOLUTION and chosen.intersection(node.input):
            compared.update(node.input)
            continue
        exact = bool(compared.intersection(node.output))
        if exact and node.op_type != CONVOLUTION:
            compared.update(node.input)
            continue
        leads_to_one = bool(needed.intersection(node.output))
        between = leads_to_one and bool(derived.intersection(node.input))
        if node.op_type == CONVOLUTION or leads_to_one:
            needed.update(node.input)
        if not exact and (node.op_type == CONVOLUTION or (between and node.op_type in BETWEEN)):
            names.append(node.name)
    return names[::-1]


class _Calibration:
    """What onnxruntime calls a ``CalibrationDataReader``: one batch of one image a call."""

    def __init__(self, predictor: OnnxPredictor, images: Iterable[Image]):
        (self.input,) = predictor.session.get_inputs()
        self.batches = (predictor.prepare(load_image(image))[None] for image in images)

    def get_next(self) -> Feed | None:
        batch = next(self.batches, None)
        return None if batch is None else {self.input.name: batch}
