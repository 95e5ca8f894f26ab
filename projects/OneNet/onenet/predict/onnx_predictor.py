"""Run an exported model with onnxruntime."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import UserError, nearest
from .base import BasePredictor, Found
from .model_card import ModelCard

if TYPE_CHECKING:
    from onnxruntime import InferenceSession, SessionOptions

CPU = "CPUExecutionProvider"


class OnnxPredictor(BasePredictor):
    """Detects objects in images by a model of ``tools/export_onnx.py``.

    Needs NumPy, Pillow and onnxruntime, neither PyTorch nor Detectron2.

    >>> predictor = OnnxPredictor("model.onnx", threshold=0.4)  # doctest: +SKIP
    >>> predictor("street.jpg").boxes  # doctest: +SKIP

    Args:
        model: the file.
        providers: what is to run it, as onnxruntime names them, in order of preference: the CPU
            by default. Options of a provider as onnxruntime has them: ``(name, {...})``.
        threshold, batch_size: see :class:`BasePredictor`.
        session_options: of onnxruntime, for the number of threads and the like.

    Raises:
        UserError: onnxruntime or a provider is not there, or the file is none of this project.
    """

    def __init__(
        self,
        model: str | os.PathLike,
        *,
        providers: Sequence[str | tuple[str, dict[str, Any]]] = (CPU,),
        threshold: float | None = None,
        batch_size: int = 8,
        session_options: SessionOptions | None = None,
    ):
        self.session = open_session(model, providers, session_options)
        properties = self.session.get_modelmeta().custom_metadata_map
        super().__init__(
            ModelCard.from_properties(properties, os.fspath(model)), threshold, batch_size
        )

    def run(self, batch: np.ndarray) -> list[Found]:
        (images,) = self.session.get_inputs()
        return list(zip(*self.session.run(None, {images.name: batch}), strict=True))


def open_session(
    model: str | os.PathLike,
    providers: Sequence[str | tuple[str, dict[str, Any]]] = (CPU,),
    options: SessionOptions | None = None,
) -> InferenceSession:
    """Load a model file into onnxruntime.

    Raises:
        UserError: onnxruntime or a provider is not there, or it cannot load the file.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise UserError(f"onnxruntime is missing ({error}): pip install onnxruntime") from None
    available = onnxruntime.get_available_providers()
    for provider in providers:
        name = provider if isinstance(provider, str) else provider[0]
        if name not in available:
            raise UserError(f'onnxruntime has no provider "{name}" here.{nearest(name, available)}')
    path = os.fspath(model)
    if not os.path.isfile(path):
        raise UserError(f"{path}: there is no such file")
    try:
        return onnxruntime.InferenceSession(path, options, providers=list(providers))
    except Exception as error:  # onnxruntime's exceptions have no common base of their own
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"{path}: not a model that onnxruntime can run ({reason})") from None
