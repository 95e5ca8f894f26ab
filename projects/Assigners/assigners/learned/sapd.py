"""Soft anchor points: all levels learn an object, each as far as a small network says."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch.nn.functional as F
from detectron2.config import configurable
from onenet import Criterion, GroundTruth, Predictions, Priors
from onenet.criterion import CRITERION_REGISTRY, build_losses, build_subsamplers
from onenet.criterion.base import Loss
from onenet.criterion.criterion import without_autocast
from onenet.errors import ConfigError
from torch import Tensor

from ..settings import rule_settings
from .level_weights import LevelWeights
from .soft_points import SoftPoints, one_hot


@CRITERION_REGISTRY.register()
class SAPD(Criterion):
    """:class:`SoftPoints` with weights of the levels that a small network tells from the features.

    The network cuts every ground truth out of all levels and learns to name the one with the least
    loss, by a cross-entropy, ``loss_level``. Its softmax is the weight of the levels; no gradient
    of the other losses, which are those of the config, goes through it.

    Source: SAPD (Zhu et al., ECCV 2020), section 3.3. ``assign``, which sees no features, has the
    level with the least loss instead, and so has training with ``soft_select=False``, the default
    of the Keras implementation of xuannianz.
    """

    @configurable
    def __init__(
        self,
        *,
        channels: int,
        num_levels: int,
        losses: Iterable[Loss],
        shrink: float = 0.2,
        soft_select: bool = True,
        level_weight: float = 0.1,
        max_pairs: int = 0,
        **options: Any,
    ):
        """
        Args:
            channels: of the features, on every level.
            num_levels: of the pyramid.
            losses: of classes, boxes and quality.
            shrink, max_pairs: see :class:`SoftPoints`.
            soft_select: all levels learn; otherwise the one with the least loss.
            level_weight: factor of ``loss_level``.
            options: see :class:`onenet.Criterion`.

        Raises:
            ConfigError: a value out of its range.
        """
        assigner = SoftPoints(shrink=shrink, max_pairs=max_pairs)
        super().__init__(assigner=assigner, losses=losses, **options)
        self.levels = LevelWeights(channels, num_levels)
        self.soft_select = soft_select
        self.level_weight = level_weight

    @classmethod
    def from_config(cls, cfg):
        onenet = cfg.MODEL.OneNet
        if onenet.HEAD == "CenterNet":
            raise ConfigError(
                'MODEL.OneNet.ASSIGNER.NAME "SAPD" weighs the levels of a pyramid, and '
                'MODEL.OneNet.HEAD "CenterNet" has one level: use "FCOS" or "RetinaNet".'
            )
        return {
            "channels": cfg.MODEL.FPN.OUT_CHANNELS,
            "num_levels": len(onenet.IN_FEATURES),
            "losses": build_losses(cfg),
            "subsamplers": build_subsamplers(cfg),
            **rule_settings(cfg, "SAPD"),
        }

    def forward(
        self,
        priors: Priors,
        predictions: Predictions,
        gt: GroundTruth,
        features: Sequence[Tensor] = (),
    ) -> dict[str, Tensor]:
        seen = predictions.detach().float()
        with without_autocast(seen.logits.device):
            least = one_hot(self.assigner.level_losses(priors, seen, gt))
            logits = self.levels(features, priors, gt)
            weights = logits.softmax(dim=-1).detach() if self.soft_select else least
            assignment = self.assigner(priors, seen, gt, weights)
            assignment = self.subsample(assignment, priors, seen, gt)
            entropy = -(F.log_softmax(logits, dim=-1) * least).sum(dim=-1)
            loss = entropy.masked_fill(~gt.valid, 0).sum() * self.level_weight
        self.tell(priors, predictions, gt, assignment)
        losses = self.weigh(priors, predictions, gt, assignment)
        level = {"loss_level": loss / self.normalizer.of(gt.valid.sum())}
        return {**losses, **self._weighted(level)}
