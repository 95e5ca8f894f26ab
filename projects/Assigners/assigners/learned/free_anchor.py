"""Learning to match anchors, by the likelihood of a detector."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from detectron2.config import configurable
from onenet import Assigner, Assignment, GroundTruth, Predictions, Priors
from onenet.assignment import Condition, Explanation
from onenet.assignment.overlaps import PairwiseIoU
from onenet.assignment.pieces import check_max_pairs, in_rows, piece_size
from onenet.assignment.selection import smallest
from onenet.criterion import CRITERION_REGISTRY, LearnedCriterion, Normalizer
from onenet.criterion.side_losses import offset_difference
from onenet.errors import ConfigError
from onenet.geometry import elementwise_iou, gather_samples
from torch import Tensor

from ..settings import rule_settings
from .negatives import add_positives, negative_loss

SMOOTH_L1_BETA = 0.11
MIN_COMPLEMENT = 1e-12
SHOWN = 0.5  # positive samples are shown from this part of the largest weight on


class AnchorBags(Assigner):
    """The prior boxes among which a ground truth chooses, and what it would choose.

    Each takes the ``topk`` that overlap it most, whatever they predict; of equal ones those of
    lowest index. Positive are those whose part in the mean-max function is at least half of the
    largest: all of a bag while none is good, and few when training has found the best.
    """

    def __init__(self, *, topk: int = 50, box_weight: float = 0.75, max_pairs: int = 0):
        """
        Args:
            topk: samples in a bag.
            box_weight: of the box loss in the likelihood of a sample.
            max_pairs: at most this many (sample, ground truth) pairs are in memory at once. The
                result does not depend on it; 0 = by device.

        Raises:
            ConfigError: a number that is out of its range.
        """
        super().__init__()
        if topk < 1:
            raise ConfigError(
                f"MODEL.OneNet.ASSIGNER.FREE_ANCHOR.TOPK must be positive, got {topk}."
            )
        if box_weight < 0:
            raise ConfigError(
                "MODEL.OneNet.ASSIGNER.FREE_ANCHOR.BOX_WEIGHT must not be negative, got "
                f"{box_weight}."
            )
        self.topk = topk
        self.box_weight = box_weight
        self.max_pairs = check_max_pairs(max_pairs)

    @torch.no_grad()
    def bags(
        self, priors: Priors, predictions: Predictions, gt: GroundTruth
    ) -> tuple[Tensor, Tensor]:
        """Samples (B, G, C) int64 by descending overlap, and whether there is any overlap (B, G).

        C is ``topk``, or R if that is less.
        """
        # All samples of some ground truths: the nearest of long rows are found in groups.
        boxes = in_rows(priors.boxes)
        step = piece_size(self.max_pairs, len(gt.boxes) * len(boxes), boxes.device)
        found = [
            smallest(elementwise_iou(boxes, part[:, :, None]).neg_(), self.topk)
            for part in gt.boxes.split(step, dim=1)
        ]
        negated, sample = (torch.cat(parts, dim=1) for parts in zip(*found, strict=True))
        return sample, gt.valid & (negated[..., 0] < 0)

    def likelihoods(
        self, priors: Priors, predictions: Predictions, gt: GroundTruth, sample: Tensor
    ) -> Tensor:
        """(B, G, C), how well samples of a bag classify and locate the ground truth, in [0, 1]."""
        entry = gt.labels[..., None] * len(priors) + sample
        logits = predictions.logits.transpose(1, 2).flatten(1)
        score = logits.gather(1, entry.flatten(1)).view_as(entry).sigmoid()
        if predictions.quality is not None:
            quality = predictions.quality.gather(1, sample.flatten(1))
            score = score * quality.view_as(entry).sigmoid()
        boxes = gather_samples(predictions.boxes, sample.flatten(1)).view(*sample.shape, 4)
        offset = offset_difference(boxes, gt.boxes[:, :, None], priors.boxes[sample])
        loss = F.smooth_l1_loss(
            offset, torch.zeros_like(offset), reduction="none", beta=SMOOTH_L1_BETA
        )
        return score * (loss.sum(dim=-1) * -self.box_weight).exp()

    def forward(self, priors: Priors, predictions: Predictions, gt: GroundTruth) -> Assignment:
        sample, found = self.bags(priors, predictions, gt)
        _, _, part = self._weights(priors, predictions, gt, sample)
        part = part.masked_fill((part < SHOWN) | ~found[..., None], 0)
        slots = torch.arange(sample.shape[1], device=sample.device)[:, None].expand_as(sample)
        return Assignment(
            sample=sample.flatten(1),
            gt=slots.flatten(1),
            weight=part.flatten(1),
            score=torch.ones_like(part).flatten(1),
            num_samples=len(priors),
        )

    def _weights(
        self, priors: Priors, predictions: Predictions, gt: GroundTruth, sample: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Likelihood, weight and part of the largest weight of samples of a bag, (B, G, C)."""
        likelihood = self.likelihoods(priors, predictions, gt, sample)
        weight = mean_max_weights(likelihood)
        return likelihood, weight, weight / weight.amax(dim=-1, keepdim=True)

    @torch.no_grad()
    def explain(self, priors: Priors, predictions: Predictions, gt: GroundTruth) -> Explanation:
        sample, found = self.bags(priors, predictions, gt)
        iou = elementwise_iou(priors.boxes, gt.boxes[:, :, None])
        in_bag = torch.zeros_like(iou, dtype=torch.bool).scatter(2, sample, True)
        least = iou.gather(2, sample).amin(dim=-1, keepdim=True)
        names = "likelihood", "weight", "part of the largest weight"
        terms = self._weights(priors, predictions, gt, sample)
        terms = (torch.zeros_like(iou).scatter(2, sample, x) for x in terms)
        quantities = {"IoU of the prior box": iou, **dict(zip(names, terms, strict=True))}
        part = quantities[names[-1]]
        conditions = [
            Condition("object that overlaps any prior box", found[..., None]),
            Condition(f"one of the {self.topk} largest IoUs of the object", in_bag, iou - least),
            Condition(f"at least {SHOWN:g} of its largest weight", part >= SHOWN, part - SHOWN),
        ]
        return Explanation.of(gt, len(priors), quantities, conditions)


@CRITERION_REGISTRY.register()
class FreeAnchor(LearnedCriterion):
    """A ground truth has a bag of anchors, and the detector learns which of them stands for it.

    - The bag and the likelihood of its anchors, the product of the score for the class and
      exp(-``box_weight`` x smooth L1 loss of the encoded box), are those of :class:`AnchorBags`.
    - ``loss_pos`` is ``alpha`` x -log of the weighted mean of the likelihoods. The weights
      1 / (1 - likelihood) make it the mean while all are low, and the maximum when one is high
      (mean-max); they have a gradient too.
    - ``loss_neg`` is (1 - ``alpha``) x q^2 x -log(1 - q) of every sample and class, where q is the
      score times the probability that the sample matches no ground truth of the class. The latter
      is 1 where the predicted box has an IoU of up to ``threshold``, and falls to 0 at the
      largest IoU of the ground truth.
    - ``loss_pos`` is divided by the number of ground truths, ``loss_neg`` by ``topk`` times that.

    Source: FreeAnchor (Zhang et al., NeurIPS 2019), section 3; mmdetection's
    ``free_anchor_retina_head.py``. There is no other box loss: the likelihood trains the boxes,
    also under heads without anchors, whose prior boxes take their place.

    Deviations: a ground truth that overlaps no prior box has no bag, where the reference takes an
    arbitrary one.
    """

    @configurable
    def __init__(
        self,
        *,
        topk: int = 50,
        threshold: float = 0.6,
        alpha: float = 0.5,
        box_weight: float = 0.75,
        max_pairs: int = 0,
        normalizer: Normalizer | None = None,
        weight: Sequence[float] = (1.0, 1.0),
    ):
        """
        Args:
            topk, box_weight, max_pairs: see :class:`AnchorBags`.
            threshold: up to this IoU, in [0, 1), a sample is negative in full.
            alpha: factor of ``loss_pos``, in [0, 1]; that of ``loss_neg`` is 1 - alpha.
            normalizer, weight: see :class:`onenet.Criterion`.

        Raises:
            ConfigError: a value out of its range.
        """
        bags = AnchorBags(topk=topk, box_weight=box_weight, max_pairs=max_pairs)
        super().__init__(assigner=bags, normalizer=normalizer, weight=weight)
        if not 0 <= threshold < 1:
            raise ConfigError(
                "MODEL.OneNet.ASSIGNER.FREE_ANCHOR.THRESHOLD must be from 0 to below 1, got "
                f"{threshold}."
            )
        if not 0 <= alpha <= 1:
            raise ConfigError(
                f"MODEL.OneNet.ASSIGNER.FREE_ANCHOR.ALPHA must be in [0, 1], got {alpha}."
            )
        self.threshold = threshold
        self.alpha = alpha

    @classmethod
    def from_config(
        cls, cfg, normalizer: Normalizer | None = None, weight: Sequence[float] = (1.0, 1.0)
    ):
        return {**rule_settings(cfg, "FREE_ANCHOR"), "normalizer": normalizer, "weight": weight}

    def learn(
        self, priors: Priors, predictions: Predictions, gt: GroundTruth, kept: Tensor | None
    ) -> dict[str, Tensor]:
        sample, found = self.assigner.bags(priors, predictions, gt)
        positive = self.bag_losses(priors, predictions, gt, sample).masked_fill(~found, 0).sum()
        matched = self.match_probabilities(predictions.boxes, gt, predictions.logits.shape[-1])
        negative = negative_loss(predictions, matched, kept) * (1 - self.alpha)
        topk = self.assigner.topk
        denominator = self.normalizer.of(gt.valid.sum() * topk)
        return {"loss_pos": positive * (topk / denominator), "loss_neg": negative / denominator}

    def bag_losses(
        self, priors: Priors, predictions: Predictions, gt: GroundTruth, sample: Tensor
    ) -> Tensor:
        """(B, G), the loss of each ground truth with a bag (B, G, C) of samples."""
        likelihood = self.assigner.likelihoods(priors, predictions, gt, sample)
        mean = (likelihood * mean_max_weights(likelihood)).sum(dim=-1)
        return mean.clamp(min=torch.finfo(mean.dtype).tiny).log() * -self.alpha

    @torch.no_grad()
    def match_probabilities(
        self, boxes: Tensor, gt: GroundTruth, num_classes: int
    ) -> Iterator[Tensor]:
        """The probability that a predicted box matches a ground truth of a class.

        As pieces (B, K, r) of the samples.
        """
        # The overlaps are needed twice; they are computed twice, so that they need no memory.
        overlaps = PairwiseIoU(boxes, gt, self.assigner.max_pairs)
        largest = torch.stack([iou.nan_to_num_(0).amax(dim=-1) for _, iou, _ in overlaps])
        span = largest.amax(dim=0)[..., None] - self.threshold
        span = span.clamp_(min=torch.finfo(span.dtype).tiny)
        for _, iou, _ in overlaps:
            matched = iou.new_zeros(len(iou), num_classes, iou.shape[-1])
            add_positives(matched, gt.labels, iou.nan_to_num_(0).sub_(self.threshold).div_(span))
            yield matched


def mean_max_weights(likelihood: Tensor) -> Tensor:
    """Parts (..., C) of the samples in a bag, which sum to 1: 1 / (1 - likelihood), normalised."""
    weight = (1 - likelihood).clamp(min=MIN_COMPLEMENT).reciprocal()
    return weight / weight.sum(dim=-1, keepdim=True)
