"""Weights of all samples inside an object, learnt with the detector."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from detectron2.config import configurable
from onenet import GroundTruth, Predictions, Priors
from onenet.criterion import CRITERION_REGISTRY, LearnedCriterion, Normalizer
from onenet.errors import choose
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ..settings import rule_settings
from .negatives import add_positives, negative_loss, set_last_positives
from .point_bags import Piece, PointBags

EPS = 1e-12
LARGEST_LOSS = 100.0  # of a ground truth that no sample stands for
CONFLICTS = {"least": add_positives, "last": set_last_positives}


class Bags(NamedTuple):
    """What the samples make of each ground truth together.

    Attributes:
        weight: (B, G), sum of their positive weights.
        likelihood: (B, G), the same, each times the likelihood of its sample.
        prior: (B, G), sum of the center prior.
        lowest, highest: (B, G), of the sharpness of the samples inside; anything where none is.
        sharpness: (B, R), 1 / (1 - IoU) with whatever ground truth a sample overlaps most.
    """

    weight: Tensor
    likelihood: Tensor
    prior: Tensor
    lowest: Tensor
    highest: Tensor
    sharpness: Tensor


@CRITERION_REGISTRY.register()
class AutoAssign(LearnedCriterion):
    """All samples inside a ground truth are positive and negative, with weights that are learnt.

    - The likelihood of a sample is its score for the class times exp(-``box_weight`` x (1 - GIoU));
      its positive weight is exp(3 x likelihood) times the center prior, a Gaussian that each class
      learns, and the weights of a ground truth sum to 1.
    - ``loss_pos`` is ``pos_weight`` x -log of the weighted mean of the likelihoods, at most 100; it
      is divided by the number of ground truths.
    - ``loss_neg`` is ``neg_weight`` x q^2 x -log(1 - q) of every sample and class, where q is the
      score times the negative weight. The latter is 1 outside; inside, for the class, it falls
      from 1 at the sample of the lowest IoU to 0 at that of the highest (as 1 / (1 - IoU) does;
      the IoU is that with whatever ground truth the sample overlaps most). It is divided by the
      sum of the center prior.
    - ``loss_center`` is ``center_weight`` x (number of ground truths / sum of the center prior),
      the mean over images. It keeps the Gaussians wide.

    Source: AutoAssign (Zhu et al., 2020), section 3; mmdetection's ``autoassign_head.py``. There is
    no other box loss. With a quality branch (``MODEL.OneNet.CENTERNESS``) the score has the
    implicit objectness of the paper.

    Deviations: where a sample lies in several ground truths of one class, the smallest negative
    weight counts. The reference has that of the last one, which depends on their order, and on a
    GPU on chance; ``conflicts="last"`` is that.
    """

    @configurable
    def __init__(
        self,
        num_classes: int,
        *,
        pos_weight: float = 0.25,
        neg_weight: float = 0.75,
        center_weight: float = 0.75,
        box_weight: float = 5.0,
        force_topk: int = 0,
        conflicts: str = "least",
        max_pairs: int = 0,
        normalizer: Normalizer | None = None,
        weight: Sequence[float] = (1.0, 1.0),
    ):
        """
        Args:
            num_classes, box_weight, force_topk, max_pairs: see :class:`PointBags`.
            pos_weight, neg_weight, center_weight: factors of the three losses.
            conflicts: "least" or "last".
            normalizer, weight: see :class:`onenet.Criterion`.

        Raises:
            ConfigError: a value out of its range.
        """
        bags = PointBags(
            num_classes, box_weight=box_weight, force_topk=force_topk, max_pairs=max_pairs
        )
        super().__init__(assigner=bags, normalizer=normalizer, weight=weight)
        key = "MODEL.OneNet.ASSIGNER.AUTO_ASSIGN.CONFLICTS"
        self.set_positives = CONFLICTS[choose(key, conflicts, CONFLICTS)]
        self.pos_weight = pos_weight
        self.neg_weight = neg_weight
        self.center_weight = center_weight

    @classmethod
    def from_config(cls, cfg):
        return {"num_classes": cfg.MODEL.OneNet.NUM_CLASSES, **rule_settings(cfg, "AUTO_ASSIGN")}

    def learn(
        self, priors: Priors, predictions: Predictions, gt: GroundTruth, kept: Tensor | None
    ) -> dict[str, Tensor]:
        bags = self.bags(priors, predictions, gt)
        positives = self.class_positives(priors, predictions, gt, bags)
        negative = negative_loss(predictions, positives, kept)
        prior = bags.prior.sum(dim=1)
        center = (gt.valid.sum(dim=1) / prior.clamp(min=EPS)).masked_fill(prior == 0, 0)
        share, images = self.normalizer.of, prior.new_full((), len(prior))
        return {
            "loss_pos": bag_losses(bags).masked_fill(~gt.valid, 0).sum()
            * (self.pos_weight / share(gt.valid.sum())),
            "loss_neg": negative * (self.neg_weight / share(prior.sum())),
            "loss_center": center.sum() * (self.center_weight / share(images)),
        }

    def bags(self, priors: Priors, predictions: Predictions, gt: GroundTruth) -> Bags:
        """Look at all samples, piece by piece, and in the backward pass once more."""
        parts = [
            checkpoint(self._bags_of_piece, piece, use_reentrant=False, preserve_rng_state=False)
            for piece in self.assigner.pieces(priors, predictions, gt)
        ]
        *sums, lowest, highest, sharpness = zip(*parts, strict=True)
        return Bags(
            *(torch.stack(part).sum(dim=0) for part in sums),
            torch.stack(lowest).amin(dim=0),
            torch.stack(highest).amax(dim=0),
            torch.cat(sharpness, dim=1),
        )

    def _bags_of_piece(self, piece: Piece) -> Bags:
        inside = piece.inside()
        weight, likelihood, prior, iou = self.assigner.weights(piece, inside)
        iou = iou.mul_(piece.gt.valid[..., None]).amax(dim=1)
        distance = (1 - iou).clamp_(min=EPS)
        sharpness = distance.reciprocal()
        return Bags(
            weight.sum(dim=-1),
            (weight * likelihood).sum(dim=-1),
            prior.sum(dim=-1),
            (inside * distance[:, None]).amax(dim=-1).clamp_(min=EPS).reciprocal_(),
            (inside * sharpness[:, None]).amax(dim=-1),
            sharpness,
        )

    def class_positives(
        self, priors: Priors, predictions: Predictions, gt: GroundTruth, bags: Bags
    ) -> Iterator[Tensor]:
        """1 less the negative weight of samples for classes, as pieces (B, K, r)."""
        batch, _, num_classes = predictions.logits.shape
        lowest, span = bags.lowest[..., None], (bags.highest - bags.lowest + EPS)[..., None]
        start = 0
        for piece in self.assigner.pieces(priors, predictions, gt):
            inside = piece.inside()
            samples = slice(start, start := start + inside.shape[-1])
            value = bags.sharpness[:, None, samples] - lowest
            value.add_(EPS).div_(span).mul_(inside)
            positive = value.new_zeros(batch, num_classes, value.shape[-1])
            self.set_positives(positive, gt.labels, value)
            yield positive


def bag_losses(bags: Bags) -> Tensor:
    """(B, G), -log of the weighted mean of the likelihoods of each ground truth."""
    mean = bags.likelihood / bags.weight.clamp(min=EPS)
    least = torch.finfo(mean.dtype).tiny
    return (-mean.clamp(min=least).log()).masked_fill(mean < least, LARGEST_LOSS)
