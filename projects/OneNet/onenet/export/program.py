"""Trace the graph, with a symbolic batch and image size."""

from __future__ import annotations

import torch
from torch.export import Dim, ExportedProgram

from .graph import DetectionGraph

MAX_BATCH = 1 << 16  # PyTorch 2.6 wants a bound, any


def trace(graph: DetectionGraph) -> ExportedProgram:
    """Export the graph for any batch and any image with sides above its coarsest stride.

    Below that a feature map has one row or column. ``torch.export`` would need a program of its
    own for these; the graph itself does not, so that ONNX made of it takes smaller images too.
    """
    stride = graph.coarsest_stride
    # Sizes that are no multiples of each other, so that none is taken for another.
    images = torch.zeros(2, 3, stride + 72, 2 * stride + 76, dtype=torch.uint8)
    dimensions = {0: Dim("batch", min=1, max=MAX_BATCH)}
    dimensions |= {2: Dim("height", min=stride + 1), 3: Dim("width", min=stride + 1)}
    with torch.no_grad():
        return torch.export.export(graph, (images,), dynamic_shapes=(dimensions,), strict=False)
