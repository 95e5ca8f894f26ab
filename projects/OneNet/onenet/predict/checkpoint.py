"""A detector of a config with its weights, and its card; needs PyTorch."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence

from detectron2.config import CfgNode
from detectron2.modeling import build_model
from torch import nn

from ..checkpoint.checkpointer import CLASS_NAMES, Checkpointer
from ..data import told_names
from ..errors import ConfigError
from .model_card import CHANNEL_ORDERS, ModelCard

logger = logging.getLogger(__name__)


def load_detector(cfg: CfgNode) -> tuple[nn.Module, ModelCard]:
    """Build the model of a config with its weights, in evaluation mode, and its card.

    Raises:
        UserError: there are no weights of a whole detector, or they do not fit.
        ConfigError: its images are neither BGR nor RGB.
    """
    datasets = (*cfg.DATASETS.TEST, *cfg.DATASETS.TRAIN)
    names = told_names(datasets, cfg.MODEL.OneNet.NUM_CLASSES)
    model = build_model(cfg)
    checkpointer = Checkpointer(model, need_detector=True, class_names=names)
    names = checkpointer.load(cfg.MODEL.WEIGHTS).get(CLASS_NAMES, names)
    if names is None:
        logger.warning(
            'neither the weights "%s" nor a dataset of the config that is on this machine '
            "tell class names: the classes are called by their numbers.",
            cfg.MODEL.WEIGHTS,
        )
    return model.eval(), make_card(cfg, names)


def make_card(cfg: CfgNode, class_names: Sequence[str] | None = None) -> ModelCard:
    """The card of a model; without names, its classes are called by their numbers.

    Raises:
        ConfigError: its images are neither BGR nor RGB.
    """
    if cfg.INPUT.FORMAT not in CHANNEL_ORDERS:
        raise ConfigError(
            f'INPUT.FORMAT "{cfg.INPUT.FORMAT}": predictors know {" and ".join(CHANNEL_ORDERS)}.'
        )
    return ModelCard(
        class_names=tuple(class_names or map(str, range(cfg.MODEL.OneNet.NUM_CLASSES))),
        channel_order=cfg.INPUT.FORMAT,
        shorter_side=cfg.INPUT.MIN_SIZE_TEST,
        longest_side=cfg.INPUT.MAX_SIZE_TEST,
        score_threshold=cfg.MODEL.OneNet.SCORE_THRESH_TEST,
        config_sha256=hashlib.sha256(cfg.dump().encode()).hexdigest(),
    )
