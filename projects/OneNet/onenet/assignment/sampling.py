"""Subsamplers that balance positives and negatives.

Random numbers come from PyTorch's generator of the device. The trainer seeds it in every step with
the seed of the run and the iteration, so that a resumed run draws what it would have drawn.
"""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import ConfigError
from ..structures import Assignment, GroundTruth, Predictions, Priors
from .overlaps import largest_iou
from .soft_targets import dense_targets
from .subsampling import Subsampler

KEY = "MODEL.OneNet.SUBSAMPLER"


class RandomSampling(Subsampler):
    """A fixed number of samples an image, drawn at random.

    Of the positives at most ``positives * count`` stay; negatives fill up to ``count``, if there
    are as many. What the rule ignores is never drawn. The number of samples that stay divides the
    losses. Source: Faster R-CNN (Ren et al., NeurIPS 2015), section 3.1.3.
    """

    reason = "left out by the draw"

    def __init__(
        self, *, count: int = 256, positives: float = 0.5, negatives_per_positive: float = 0.0
    ):
        """
        Args:
            count: samples an image.
            positives: largest part of them that is positive.
            negatives_per_positive: most negatives to a positive, of which there counts one at
                least; 0 = as many as there is room for.

        Raises:
            ConfigError: a value out of its range.
        """
        super().__init__()
        if count < 1:
            raise ConfigError(f"{KEY}.COUNT must be positive, got {count}.")
        if not 0 < positives <= 1:
            raise ConfigError(f"{KEY}.POSITIVES must be in (0, 1], got {positives}.")
        if negatives_per_positive < 0:
            raise ConfigError(
                f"{KEY}.NEGATIVES_PER_POSITIVE must be positive, or 0 (no limit), "
                f"got {negatives_per_positive}."
            )
        self.count = count
        self.positives = positives
        self.negatives_per_positive = negatives_per_positive

    @torch.no_grad()
    def forward(
        self, assignment: Assignment, priors: Priors, predictions: Predictions, gt: GroundTruth
    ) -> Assignment:
        positive, negative = positives_and_negatives(assignment)
        order = self.order(assignment, predictions, gt)
        kept = first_in_order(order, positive, int(self.count * self.positives))
        number = kept.sum(dim=1, keepdim=True)
        most = self.count - number
        if self.negatives_per_positive:
            most = most.minimum((number.clamp(min=1) * self.negatives_per_positive).long())
        kept |= self.choose(order, negative, most, priors, gt)
        return replace(assignment.keep(kept), normalizer=kept.sum())

    def order(self, assignment: Assignment, predictions: Predictions, gt: GroundTruth) -> Tensor:
        """(B, R) int64, the samples of each image, first those that are to stay."""
        logits = predictions.logits
        return torch.rand(logits.shape[:2], device=logits.device).argsort(dim=1)

    def choose(
        self, order: Tensor, negative: Tensor, most: Tensor, priors: Priors, gt: GroundTruth
    ) -> Tensor:
        """Which negatives stay, (B, R) bool.

        Args:
            order: (B, R), see :meth:`order`.
            negative: (B, R) bool.
            most: (B, 1) int64, how many may stay.
            priors, gt: of the step.
        """
        return first_in_order(order, negative, most)


class OHEM(RandomSampling):
    """Online hard example mining: not random samples, but those of the largest class loss.

    That is the cross-entropy of all classes together, whichever loss is trained with. Source:
    Shrivastava et al., CVPR 2016; as in mmdetection without the NMS among the samples.
    """

    reason = "left out as easy"

    def __init__(
        self, *, count: int = 512, positives: float = 0.25, negatives_per_positive: float = 0.0
    ):
        """
        Args:
            count, positives, negatives_per_positive: as for :class:`RandomSampling`.
        """
        super().__init__(
            count=count, positives=positives, negatives_per_positive=negatives_per_positive
        )

    def order(self, assignment: Assignment, predictions: Predictions, gt: GroundTruth) -> Tensor:
        return hardest_first(assignment, predictions, gt)


class IoUBalancedSampling(RandomSampling):
    """Random positives, and negatives of every degree of overlap.

    1. Negatives whose prior box has an IoU below ``floor`` (or of ``floor``, where that is 0) with
       every object are set apart; -1 sets none apart.
    2. The range of IoU from the floor (or 0) to the largest one in the image is cut into ``bins``
       of equal width, and ``1 - floor_part`` of the places are shared equally among them.
    3. Places that bins do not fill go to any negative that is not set apart, what is left then to
       those set apart, and at last to any.

    Source: Libra R-CNN (Pang et al., CVPR 2019), section 3.1; numbers and order as in
    mmdetection's ``IoUBalancedNegSampler``, from which it is known. There the range also reaches to
    the largest IoU, that of a positive, so that the upper bins are often empty.

    Deviation: a ``floor`` of -1 becomes 0 there after the first step of a training. Here it stays
    what it is; 0 does what the reference does for the rest of the training.
    """

    def __init__(
        self,
        *,
        count: int = 512,
        positives: float = 0.25,
        negatives_per_positive: float = 0.0,
        bins: int = 3,
        floor: float = -1.0,
        floor_part: float = 0.0,
    ):
        """
        Args:
            count, positives, negatives_per_positive: as for :class:`RandomSampling`.
            bins: how many.
            floor: IoU below 1, or -1.
            floor_part: of the negatives, at least this part is of those set apart, if there are
                enough.

        Raises:
            ConfigError: a value out of its range.
        """
        super().__init__(
            count=count, positives=positives, negatives_per_positive=negatives_per_positive
        )
        if bins < 1:
            raise ConfigError(f"{KEY}.BINS must be positive, got {bins}.")
        if not (floor == -1 or 0 <= floor < 1):
            raise ConfigError(f"{KEY}.FLOOR must be in [0, 1), or -1 (none), got {floor}.")
        if not 0 <= floor_part <= 1:
            raise ConfigError(f"{KEY}.FLOOR_PART must be in [0, 1], got {floor_part}.")
        self.bins = bins
        self.floor = floor
        self.floor_part = floor_part

    def choose(
        self, order: Tensor, negative: Tensor, most: Tensor, priors: Priors, gt: GroundTruth
    ) -> Tensor:
        return self.balance(order, negative, most, largest_iou(priors.boxes[None], gt))

    def balance(self, order: Tensor, negative: Tensor, most: Tensor, iou: Tensor) -> Tensor:
        """Steps 1 to 3, for the largest IoU (B, R) of each sample; the rest as :meth:`choose`."""
        apart = iou < self.floor if self.floor > 0 else iou == self.floor
        places = (most * (1 - self.floor_part)).long()
        taken = self.in_bins(order, negative & ~apart, places, iou)
        for group, number in ((~apart, places), (apart, most), (negative, most)):
            left = number - taken.sum(dim=1, keepdim=True)
            taken = taken | first_in_order(order, negative & group & ~taken, left)
        return taken

    def in_bins(self, order: Tensor, candidate: Tensor, places: Tensor, iou: Tensor) -> Tensor:
        """Which of the candidates (B, R) have a place (B, 1) in a bin, (B, R) bool."""
        low = max(self.floor, 0.0)
        width = (iou.amax(dim=1, keepdim=True) - low) / self.bins
        share = places.div(self.bins, rounding_mode="floor")
        taken = torch.zeros_like(candidate)
        for index in range(self.bins):
            inside = (iou >= low + index * width) & (iou < low + (index + 1) * width)
            taken |= first_in_order(order, candidate & inside, share)
        return taken


class HardNegatives(Subsampler):
    """All positives, and to each of them the negatives of the largest class loss.

    An image without positives has no negatives either. The denominator of the losses stays that of
    the rule. The class loss is that of :class:`OHEM`. Source: SSD (Liu et al., ECCV 2016),
    section 2.2.
    """

    reason = "left out as easy"

    def __init__(self, *, negatives_per_positive: float = 3.0):
        """
        Args:
            negatives_per_positive: how many.

        Raises:
            ConfigError: it is not positive.
        """
        super().__init__()
        if negatives_per_positive <= 0:
            raise ConfigError(
                f"{KEY}.NEGATIVES_PER_POSITIVE must be positive, got {negatives_per_positive}."
            )
        self.negatives_per_positive = negatives_per_positive

    @torch.no_grad()
    def forward(
        self, assignment: Assignment, priors: Priors, predictions: Predictions, gt: GroundTruth
    ) -> Assignment:
        positive, negative = positives_and_negatives(assignment)
        most = positive.sum(dim=1, keepdim=True) * self.negatives_per_positive
        order = hardest_first(assignment, predictions, gt)
        return assignment.keep(positive | first_in_order(order, negative, most))


def positives_and_negatives(assignment: Assignment) -> tuple[Tensor, Tensor]:
    """Which samples have a pair, and which have none and are not ignored, each (B, R) bool."""
    positive = assignment.positive_samples()
    if assignment.cls_weight is None:
        return positive, ~positive
    return positive, ~positive & (assignment.cls_weight > 0).any(dim=-1)


def first_in_order(order: Tensor, candidate: Tensor, count: Tensor | int) -> Tensor:
    """The first candidates of each image in some order, all of them if there are fewer.

    Args:
        order: (B, R) int64, a permutation of the samples.
        candidate: (B, R) bool.
        count: (B, 1), or the same for all images.

    Returns:
        (B, R) bool.
    """
    ordered = candidate.gather(1, order)
    first = ordered & (ordered.cumsum(dim=1) <= count)
    return torch.zeros_like(candidate).scatter(1, order, first)


def hardest_first(assignment: Assignment, predictions: Predictions, gt: GroundTruth) -> Tensor:
    """(B, R) int64, the samples of each image by their class loss, of equal ones in their order.

    The loss is the cross-entropy of all classes together, each with its weight in the assignment.
    """
    logits = predictions.logits.float()
    targets = dense_targets(assignment, gt, logits)
    loss = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    if assignment.cls_weight is not None:
        loss = loss * assignment.cls_weight
    return loss.sum(dim=-1).argsort(dim=1, descending=True, stable=True)
