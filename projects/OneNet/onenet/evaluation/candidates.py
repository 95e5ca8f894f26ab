"""Ask a detector for what NMS would choose from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from ..meta_arch import OneNet


@contextmanager
def candidates_offered(model: nn.Module, per_level: int) -> Iterator[None]:
    """Let a detector return ``candidates`` beside ``instances`` meanwhile.

    :class:`NMSDiagnosisEvaluator` suppresses among them. Nothing else needs them.

    Args:
        model: :class:`OneNet`, perhaps wrapped; any other has no candidates and stays as it is.
        per_level: how many of each level, the best ones.
    """
    detectors = [module for module in model.modules() if isinstance(module, OneNet)]
    for detector in detectors:
        detector.offered_candidates = per_level
    try:
        yield
    finally:
        for detector in detectors:
            detector.offered_candidates = 0
