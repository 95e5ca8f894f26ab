"""What a head is trained with that finds boxes by their corners."""

from __future__ import annotations

from typing import Any

from detectron2.config import configurable
from onenet import Criterion
from onenet.assignment import IgnoreRegions
from onenet.criterion import CRITERION_REGISTRY, FocalLoss
from onenet.errors import ConfigError

from ..settings import rule_settings
from ..static.corners import CornerCells
from .corner_losses import EmbeddingLoss, OffsetLoss


@CRITERION_REGISTRY.register()
class CornerNet(Criterion):
    """:class:`CornerCells` and the losses of corners, for the head of that name.

    ``loss_ce`` is the focal loss of both maps, ``-(1 - p)^2 log p`` at corners and ``-(1 - Y)^4 p^2
    log(1 - p)`` elsewhere, the mean over both maps; with it ``loss_offset``, ``loss_pull`` and
    ``loss_push``.

    Source: CornerNet (Law and Deng, ECCV 2018), section 3. The reference divides the first two by
    the number of cells that hold corners of either kind; here, as for all rules, all losses are
    divided by the number of ground truths.
    """

    @configurable
    def __init__(
        self,
        *,
        min_overlap: float = 0.3,
        pull_weight: float = 0.1,
        push_weight: float = 0.1,
        offset_weight: float = 1.0,
        max_pairs: int = 0,
        **options: Any,
    ):
        """
        Args:
            min_overlap, max_pairs: see :class:`CornerCells`.
            pull_weight, push_weight, offset_weight: factors of these losses.
            options: see :class:`onenet.Criterion`.

        Raises:
            ConfigError: a value out of its range.
        """
        super().__init__(
            assigner=CornerCells(min_overlap=min_overlap, max_pairs=max_pairs),
            losses=[
                FocalLoss(weight=1.0, alpha=0.5, gamma=2.0),  # half of each map's, so their mean
                EmbeddingLoss(pull_weight=pull_weight, push_weight=push_weight),
                OffsetLoss(weight=offset_weight),
            ],
            subsamplers=[IgnoreRegions()],
            **options,
        )

    @classmethod
    def from_config(cls, cfg):
        head = cfg.MODEL.OneNet.HEAD
        if head != "CornerNet":
            raise ConfigError(
                'MODEL.OneNet.ASSIGNER.NAME "CornerNet" trains corners and their embeddings, and '
                f'the "{head}" head predicts boxes: set MODEL.OneNet.HEAD CornerNet, or '
                "ASSIGNER.NAME CenterNet for the cells of centres."
            )
        return rule_settings(cfg, "CORNERNET")
