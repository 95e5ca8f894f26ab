"""The assigner interface and its registry."""

from __future__ import annotations

from detectron2.config import CfgNode
from detectron2.utils.registry import Registry
from torch import nn

from ..errors import choose
from ..structures import Assignment, GroundTruth, Predictions, Priors
from .explanation import Explanation

ASSIGNER_REGISTRY = Registry("ASSIGNER")
ASSIGNER_REGISTRY.__doc__ = """
Label assigners, selected by ``MODEL.OneNet.ASSIGNER.NAME``. A registered object is called with
the config and returns an :class:`Assigner`; decorate its constructor with
``detectron2.config.configurable`` to keep the class itself free of configs.
"""


class Assigner(nn.Module):
    """Decides which samples are trained towards which ground truths.

    An assigner is a pure function of its three arguments: it reads no config, knows no head, and
    computes no loss. It must not synchronise with the device (no ``.item()``, ``nonzero``, boolean
    gather, ...); the contract's test counts such calls, and runs it on ``device="meta"``.

    Attributes:
        quality_target: what the quality branch of a head, if it has one, tells about a sample in
            the detector that the rule comes from: "centerness", "iou" or "objectness".
    """

    quality_target = "centerness"

    def forward(self, priors: Priors, predictions: Predictions, gt: GroundTruth) -> Assignment:
        """Assign the samples of B images.

        Args:
            priors: the R samples, the same for every image.
            predictions: logits (B, R, K) and boxes (B, R, 4) of the same samples.
            gt: G padded ground truths for each of B images.
        """
        raise NotImplementedError

    def explain(self, priors: Priors, predictions: Predictions, gt: GroundTruth) -> Explanation:
        """Why each sample is positive, negative or ignored; its verdict is that of :meth:`forward`.

        It keeps every pair in memory and is made to be looked at, not to train with. A rule that
        does not say more tells what it has chosen.

        Args:
            priors, predictions, gt: as for :meth:`forward`.
        """
        assignment = self(priors, predictions, gt)
        return Explanation.of_assignment(gt, len(priors), assignment, type(self).__name__)


def build_assigner(cfg: CfgNode) -> Assigner:
    """Build the assigner that ``MODEL.OneNet.ASSIGNER.NAME`` selects.

    Raises:
        ConfigError: no assigner of that name is registered.
    """
    assigners = dict(ASSIGNER_REGISTRY)
    name = choose("MODEL.OneNet.ASSIGNER.NAME", cfg.MODEL.OneNet.ASSIGNER.NAME, assigners)
    return assigners[name](cfg)
