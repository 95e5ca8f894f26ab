"""How an assignment changes while a detector learns, and what decides it.

All functions look at one image at a time; :func:`pool` joins images. Letters as in
:mod:`onenet.structures`; N is any number of values.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from ..assignment import Assigner, MinCost
from ..assignment.costs import class_cost
from ..assignment.min_cost import SOLVERS, WRONG_LEVEL_COST
from ..assignment.pieces import piece_size
from ..geometry import box_centers, encode_ltrb, gather_samples
from ..structures import GroundTruth, Predictions, Priors
from .assignment import pair_quality
from .positives import PositiveSamples

_OTHER_SOLVER = dict(zip(SOLVERS, reversed(SOLVERS), strict=True))

Values = dict[str, Tensor]  # by name: one value for each pair or ground truth of an image, (N,)


class PositivePairs(NamedTuple):
    """The positive pairs of an image, to be remembered.

    Attributes:
        num_samples: R.
        codes: (N,) int64 on the CPU, ``gt * R + sample``, each once, ascending.
    """

    num_samples: int
    codes: Tensor

    def count(self) -> Tensor:
        """Positives of each ground truth, (N,) int64, as far as any has one."""
        return torch.bincount(self.codes // self.num_samples)


def positive_pairs(samples: PositiveSamples) -> PositivePairs:
    """The positive pairs of an image, which is a batch of its own."""
    assignment, num_samples = samples.assignment, len(samples.priors)
    codes = (assignment.gt * num_samples + assignment.sample)[assignment.positive]
    return PositivePairs(num_samples, codes.unique().cpu())


def moved(before: PositivePairs, now: PositivePairs) -> Tensor:
    """How far the positives of each ground truth are others than before.

    This is the Jaccard distance of the two sets of samples: 0 if they are the same, 1 if they have
    none in common. Of a rule with one positive to a ground truth it says whether that has moved.

    Args:
        before, now: of the same image and model.

    Returns:
        (N,) float32, for each ground truth that has or had a positive. Nothing where the two have
        another number of samples, as after a change of the image's size.
    """
    if before.num_samples != now.num_samples:
        return torch.zeros(0)
    common = now.codes[torch.isin(now.codes, before.codes)]
    counts = [pairs.count() for pairs in (before, now, now._replace(codes=common))]
    longest = max(map(len, counts))
    old, new, shared = (torch.cat([c, c.new_zeros(longest - len(c))]) for c in counts)
    union = old + new - shared
    return 1 - (shared / union)[union > 0]


@torch.no_grad()
def describe(samples: PositiveSamples, assigner: Assigner) -> Values:
    """What there is to say about the positive pairs of an image at one moment.

    Args:
        samples: of an image, which is a batch of its own.
        assigner: the one that has assigned them.

    Returns:
        For each pair ``positive_iou`` and ``positive_score`` (see :func:`pair_quality`), and
        ``off_center``, the distance of the sample from the centre of the ground truth: the larger
        one of the two axes, in units of half the width and half the height. With ``MinCost`` also
        what :func:`describe_costs` says.
    """
    assignment, priors, predictions, gt = samples
    used = assignment.positive[0]
    iou, score = pair_quality(predictions, gt, assignment)
    boxes = gather_samples(gt.boxes, assignment.gt)
    offset = (priors.points[assignment.sample] - box_centers(boxes)).abs()
    half = ((boxes[..., 2:] - boxes[..., :2]) / 2).clamp(min=1)  # a box without area is a pixel
    values = {
        "positive_iou": iou[0, used],
        "positive_score": score[0, used],
        "off_center": (offset / half).amax(dim=-1)[0, used],
    }
    if isinstance(assigner, MinCost):
        values |= describe_costs(samples, assigner)
    return values


@torch.no_grad()
def describe_costs(samples: PositiveSamples, assigner: MinCost) -> Values:
    """What decides between the samples of each ground truth with a positive.

    Args:
        samples: of an image, which is a batch of its own.
        assigner: the one that has assigned them.

    Returns:
        - ``class_cost``, ``location_cost``: the weighted costs of the pair; their sum is its cost.
        - ``class_share``: standard deviation of the class cost, divided by the sum of that and the
          standard deviation of the location cost, over the samples in the ground truth. Nothing
          for a ground truth with less than two samples in it.
        - ``class_agreement``, ``location_agreement``: 1 if the class cost (the location cost) alone
          is least at the same sample, else 0.
        - ``solver_agreement``: 1 if argmin and Hungarian give it the same sample, else 0.
    """
    assignment, priors, predictions, gt = samples
    kept = assignment.positive[0].nonzero().flatten()  # a slot is a ground truth
    if not len(kept):
        return {}
    step = piece_size(assigner.max_pairs, len(priors), kept.device)
    parts = [
        _costs_of(assigner, priors, predictions, _select(gt, piece), assignment.sample[0, piece])
        for piece in kept.split(step)
    ]
    values = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    other = _changed(assigner, solver=_OTHER_SOLVER[assigner.solver])
    theirs = other.forward(priors, predictions, gt)
    same = theirs.positive & (theirs.sample == assignment.sample)
    return {**values, "solver_agreement": same[0, kept].float()}


def pool(images: Iterable[Values]) -> dict[str, float]:
    """Mean of each value over several images; a name without any value is left out."""
    pooled: dict[str, list[Tensor]] = {}
    for values in images:
        for name, value in values.items():
            pooled.setdefault(name, []).append(value.float().cpu())
    joined = {name: torch.cat(values) for name, values in pooled.items()}
    return {name: float(values.mean()) for name, values in joined.items() if len(values)}


def _costs_of(
    assigner: MinCost, priors: Priors, predictions: Predictions, gt: GroundTruth, sample: Tensor
) -> Values:
    """What :func:`describe_costs` says of g ground truths (1, g) with the samples (g,)."""
    by_class = class_cost(predictions.logits, gt.labels, assigner.alpha, assigner.gamma)[0]
    by_class = assigner.class_weight * by_class  # (g, R)
    location = _changed(assigner, class_weight=0).cost_matrix(priors, predictions, gt)[0]
    inside = encode_ltrb(priors.points, gt.boxes[0, :, None]).amin(dim=-1) > 0
    inside &= location < WRONG_LEVEL_COST  # else they were never a choice
    class_spread, location_spread = _deviation(by_class, inside), _deviation(location, inside)
    spread = class_spread + location_spread
    return {
        "class_cost": by_class.gather(1, sample[:, None])[:, 0],
        "location_cost": location.gather(1, sample[:, None])[:, 0],
        "class_share": (class_spread / spread)[spread > 0],
        "class_agreement": (by_class.argmin(dim=1) == sample).float(),
        "location_agreement": (location.argmin(dim=1) == sample).float(),
    }


def _deviation(values: Tensor, mask: Tensor) -> Tensor:
    """Standard deviation (g,) of those of ``values`` (g, R) that ``mask`` (g, R) selects."""
    count = mask.sum(dim=1, keepdim=True).clamp(min=1)
    mean = values.masked_fill(~mask, 0).sum(dim=1, keepdim=True) / count
    deviation = (values - mean).masked_fill(~mask, 0)
    return (deviation.square().sum(dim=1, keepdim=True) / count).sqrt()[:, 0]


def _changed(assigner: MinCost, **settings: float | str) -> MinCost:
    """The same assigner but for some settings."""
    other = copy.copy(assigner)
    for name, value in settings.items():
        setattr(other, name, value)
    return other


def _select(gt: GroundTruth, index: Tensor) -> GroundTruth:
    """Some ground truths of each image."""
    boxes, labels, valid = gt.boxes[:, index], gt.labels[:, index], gt.valid[:, index]
    return replace(gt, boxes=boxes, labels=labels, valid=valid)
