"""A detector of a config with its weights, and its card; needs PyTorch."""

from __future__ import annotations

import hashlib

from detectron2.config import CfgNode
from detectron2.modeling import build_model
from torch import nn

from ..data import label_names
from ..engine.checkpoint import Checkpointer
from ..errors import ConfigError
from .model_card import CHANNEL_ORDERS, ModelCard


def load_detector(cfg: CfgNode) -> nn.Module:
    """Build the model of a config with its weights, in evaluation mode.

    Raises:
        UserError: there are no weights of a whole detector, or they do not fit.
    """
    model = build_model(cfg)
    Checkpointer(model, need_detector=True).load(cfg.MODEL.WEIGHTS)
    return model.eval()


def make_card(cfg: CfgNode) -> ModelCard:
    """The card of a model.

    Raises:
        ConfigError: its images are neither BGR nor RGB.
    """
    if cfg.INPUT.FORMAT not in CHANNEL_ORDERS:
        raise ConfigError(
            f'INPUT.FORMAT "{cfg.INPUT.FORMAT}": predictors know {" and ".join(CHANNEL_ORDERS)}.'
        )
    return ModelCard(
        class_names=tuple(label_names(cfg.DATASETS.TEST, cfg.MODEL.OneNet.NUM_CLASSES)),
        channel_order=cfg.INPUT.FORMAT,
        shorter_side=cfg.INPUT.MIN_SIZE_TEST,
        longest_side=cfg.INPUT.MAX_SIZE_TEST,
        score_threshold=cfg.MODEL.OneNet.SCORE_THRESH_TEST,
        config_sha256=hashlib.sha256(cfg.dump().encode()).hexdigest(),
    )
