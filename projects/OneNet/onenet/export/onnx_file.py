"""From a traced program to an ONNX file of standard operators."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch.export import ExportedProgram

from ..errors import UserError

if TYPE_CHECKING:
    from onnx import ModelProto

OPSET = 18  # the oldest that PyTorch's exporter writes, so the most runtimes have it
DEFORMABLE_OPSET = 19  # the first with DeformConv
INPUTS = ("images",)
OUTPUTS = ("boxes", "scores", "classes")
# What the symbolic sizes are called; PyTorch would give them numbers, or formulas.
SHAPES = {
    "images": ("batch", None, "height", "width"),
    "boxes": ("batch", "k", None),
    "scores": ("batch", "k"),
    "classes": ("batch", "k"),
}


def check_installed() -> None:
    """Raise a UserError if a package of the extra ``export`` is missing."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise UserError(f"{error}: pip install 'onnxruntime' 'onnx' 'onnxscript'") from None


def to_onnx(program: ExportedProgram, properties: dict[str, str]) -> ModelProto:
    """Translate a program and check the result, its shapes included.

    Args:
        program: of :func:`.program.trace`.
        properties: the metadata of the file.

    Raises:
        UserError: the installed PyTorch and onnxscript cannot do it.
    """
    import onnx

    model = translate(program, INPUTS, OUTPUTS)
    del model.graph.value_info[:]  # in terms of names that are replaced
    for value in (*model.graph.input, *model.graph.output):
        for size, name in zip(value.type.tensor_type.shape.dim, SHAPES[value.name], strict=True):
            if name is not None:
                size.dim_param = name
    onnx.helper.set_model_props(model, properties)
    onnx.checker.check_model(model, full_check=True)
    return model


def translate(
    program: ExportedProgram, inputs: Sequence[str] = (), outputs: Sequence[str] = ()
) -> ModelProto:
    """Translate any program, as it is.

    Args:
        program: of ``torch.export``.
        inputs, outputs: their names; PyTorch's own if empty.

    Raises:
        UserError: the installed PyTorch and onnxscript cannot do it.
    """
    import onnxscript

    deformable = _is_deformable(program)
    try:
        result = torch.onnx.export(
            program,
            dynamo=True,
            input_names=inputs or None,
            output_names=outputs or None,
            opset_version=DEFORMABLE_OPSET if deformable else OPSET,
            custom_translation_table=_translations() if deformable else None,
            optimize=True,
            verbose=False,
        )
    except Exception as error:  # of three packages, which have to fit each other
        raise UserError(
            f"PyTorch {torch.__version__} with onnxscript {onnxscript.__version__} cannot "
            f"translate the model to ONNX ({type(error).__name__}); PyTorch 2.15 with onnxscript "
            "0.7 can"
        ) from error
    return result.model_proto


def save_onnx(model: ModelProto, path: str | os.PathLike) -> None:
    """Write one file, weights included."""
    import onnx

    onnx.save_model(model, os.fspath(path))


def _is_deformable(program: ExportedProgram) -> bool:
    return any("deform_conv2d" in str(node.target) for node in program.graph.nodes)


def _translations() -> dict[Any, Any]:
    """How to say torchvision's deformable convolution in ONNX; PyTorch does not know it."""
    from onnxscript import opset19 as op

    def deform_conv2d(
        input, weight, offset, mask, bias, stride_h, stride_w, pad_h, pad_w,
        dilation_h, dilation_w, groups, offset_groups, use_mask,
    ):  # fmt: skip
        return op.DeformConv(
            input,
            weight,
            offset,
            bias,
            mask if use_mask else None,
            strides=[stride_h, stride_w],
            pads=[pad_h, pad_w, pad_h, pad_w],
            dilations=[dilation_h, dilation_w],
            group=groups,
            offset_group=offset_groups,
        )

    return {torch.ops.torchvision.deform_conv2d.default: deform_conv2d}
