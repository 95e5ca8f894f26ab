"""Run a checkpoint with PyTorch."""

from __future__ import annotations

import numpy as np
import torch
from detectron2.config import CfgNode
from torch import nn

from .base import BasePredictor, Found
from .checkpoint import load_detector


class Predictor(BasePredictor):
    """Detects objects in images by a checkpoint; the interface is that of ``OnnxPredictor``.

    Args:
        cfg: the config with its ``MODEL.WEIGHTS``, see ``onenet.engine.setup_cfg``.
        threshold, batch_size: see :class:`BasePredictor`.

    Raises:
        UserError: there are no weights of a whole detector, or they do not fit.
    """

    def __init__(self, cfg: CfgNode, *, threshold: float | None = None, batch_size: int = 8):
        model, card = load_detector(cfg)
        super().__init__(card, threshold, batch_size)
        self.model = model

    def run(self, batch: np.ndarray) -> list[Found]:
        return run_torch(self.model, batch)


@torch.inference_mode()
def run_torch(model: nn.Module, batch: np.ndarray) -> list[Found]:
    """The detector's own forward pass, in Detectron2's format."""
    outputs = model([{"image": torch.from_numpy(image)} for image in batch])
    found = [output["instances"].to("cpu") for output in outputs]
    return [(x.pred_boxes.tensor.numpy(), x.scores.numpy(), x.pred_classes.numpy()) for x in found]
