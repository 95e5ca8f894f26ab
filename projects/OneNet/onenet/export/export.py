"""Export a checkpoint: trace, translate, compare, and only then keep the file."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from detectron2.config import CfgNode

from ..errors import ConfigError, UserError
from ..files import complete_file
from ..predict.checkpoint import load_detector
from ..predict.model_card import ModelCard
from ..predict.onnx_predictor import open_session
from .graph import DetectionGraph
from .onnx_file import check_installed, save_onnx, to_onnx
from .program import trace
from .sample_images import digit_scenes
from .verify import Detect, Verification, verify

logger = logging.getLogger(__name__)

SUFFIXES = (".onnx", ".pt2")


def export_model(
    cfg: CfgNode, output: str | os.PathLike, images: Sequence[np.ndarray] = ()
) -> Verification:
    """Export the detector of a config into one file, if the file then detects the same.

    Args:
        cfg: the config with its ``MODEL.WEIGHTS``.
        output: ends in ".onnx", or in ".pt2" for a ``torch.export`` program.
        images: (H, W, 3) uint8, BGR, to compare the two on; by default drawn scenes of digits.

    Raises:
        UserError: something is missing, or the exported model detects something else. There is no
            such file then, and one that was there before is untouched.
    """
    output = Path(output)
    check_output(output, SUFFIXES)
    check_exportable(cfg)
    if output.suffix == ".onnx":
        check_installed()
    model, card = load_detector(cfg)
    with complete_file(output) as partial:
        run, least_side = _write(model, card, partial)
        result = verify(model, run, images or digit_scenes(), card, least_side)
        if result.problem:
            raise UserError(f"{output} is not written, it would detect otherwise: {result.problem}")
    return result


def check_output(output: Path, suffixes: Sequence[str]) -> None:
    """Raise a UserError if ``output`` has none of the suffixes, or no folder to be written to."""
    if output.suffix not in suffixes:
        raise UserError(f"--output {output}: must end in {' or '.join(suffixes)}")
    if not output.absolute().parent.is_dir():
        raise UserError(f"--output {output}: there is no folder {output.absolute().parent}")


def check_exportable(cfg: CfgNode) -> None:
    """Raise a ConfigError for what no graph can hold."""
    if cfg.MODEL.META_ARCHITECTURE != "OneNet":
        raise ConfigError(
            f'MODEL.META_ARCHITECTURE "{cfg.MODEL.META_ARCHITECTURE}": only OneNet is exported.'
        )
    for key, value in (("NMS", cfg.MODEL.OneNet.NMS), ("AUX.TEST", cfg.MODEL.OneNet.AUX.TEST)):
        if value:
            raise ConfigError(f"MODEL.OneNet.{key}: exported models have no NMS; set it to False.")


def _write(model: torch.nn.Module, card: ModelCard, path: Path) -> tuple[Detect, int]:
    """Write a file, and give a function that runs it and the least side of its images."""
    graph = DetectionGraph(model)
    logger.info("Tracing the model ...")
    program = trace(graph)
    if path.suffix == ".pt2":
        torch.export.save(program, path, extra_files=card.to_properties())
        return _run_program(path), graph.coarsest_stride + 1
    logger.info("Translating it to ONNX ...")
    save_onnx(to_onnx(program, card.to_properties()), path)
    return _run_onnx(path), 1


def _run_onnx(path: Path) -> Detect:
    try:
        session = open_session(path)
    except UserError as error:
        if "DeformConv" not in str(error):
            raise
        raise UserError(
            "this onnxruntime cannot run deformable convolutions (DeformConv, opset 19): take a "
            "newer one, or the twin config without them (MODEL.OneNet.DCN False, as in "
            "configs/onenet_R18.yaml and configs/onenet_R50.yaml)"
        ) from None
    return lambda batch: list(zip(*session.run(None, {"images": batch}), strict=True))


def _run_program(path: Path) -> Detect:
    module = torch.export.load(path).module()

    @torch.inference_mode()
    def run(batch: np.ndarray):
        outputs = module(torch.from_numpy(batch))
        return list(zip(*(output.numpy() for output in outputs), strict=True))

    return run
