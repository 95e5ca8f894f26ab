"""Which objects get samples from a rule, and which of them lose theirs to others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..assignment.levels import SizeRanges, ranges_of_levels
from ..criterion import Criterion
from ..geometry import MIN_SIDE, box_area, elementwise_iou
from ..structures import Assignment, GroundTruth, Predictions, Priors
from .unread import UnreadPredictions

# Class scores that are assigned at once, where each object of an image is an image of its own.
MAX_SCORES = 2**24


class Objects(NamedTuple):
    """What the G objects of an image, or of many, are like.

    Attributes:
        size: (G,) square root of the area, pixels.
        aspect: (G,) width / height.
        crowding: (G,) largest IoU with another object of the image, of any class.
        level: (G,) int64, the level that is meant for objects of this size.
    """

    size: Tensor
    aspect: Tensor
    crowding: Tensor
    level: Tensor


class Coverage(NamedTuple):
    """What the G objects of an image, or of many, got from a rule.

    Attributes:
        positives: (G, L) int64, positive samples on each level.
        lost: (G,) int64, samples that would be positive if the object were alone in its image, and
            are not.
    """

    positives: Tensor
    lost: Tensor


def describe_objects(gt: GroundTruth, priors: Priors, size_ranges: SizeRanges) -> Objects:
    """What the objects of a batch are like, image by image, without the padded slots.

    Args:
        gt: of B images.
        priors: the samples that they are for.
        size_ranges: smallest and largest size in pixels for each level, ascending. The size of an
            object is how far its centre is from the farther sides; the finest level for it counts.
    """
    sides = gt.boxes[..., 2:] - gt.boxes[..., :2]
    overlap = elementwise_iou(gt.boxes[:, :, None], gt.boxes[:, None])
    overlap.diagonal(dim1=1, dim2=2).zero_()
    level = torch.zeros_like(gt.labels)
    for _, largest in ranges_of_levels(size_ranges, priors)[:-1]:
        level += sides.amax(dim=-1) / 2 > largest
    width, height = sides.unbind(-1)
    described = Objects(
        size=box_area(gt.boxes).sqrt(),
        aspect=width / height.clamp(min=MIN_SIDE),
        crowding=overlap.amax(dim=-1),
        level=level,
    )
    return Objects(*(values[gt.valid] for values in described))


@torch.no_grad()
def cover(
    criterion: Criterion,
    priors: Priors,
    predictions: Predictions | UnreadPredictions,
    gt: GroundTruth,
) -> Coverage:
    """What the objects of a batch get, together and each of them alone.

    Args:
        criterion: with the rule.
        priors: the R samples.
        predictions: of the same samples in B images.
        gt: of these images, with at least one object.

    Raises:
        NeedsPredictions: there are none, and the rule reads them.
    """
    together = criterion.assign(priors, predictions, gt)
    image, slot = gt.valid.nonzero(as_tuple=True)
    number = torch.zeros_like(gt.labels)
    number[image, slot] = torch.arange(len(image), device=image.device)
    shared = _pairs(number.gather(1, together.gt), together, len(image), len(priors))
    alone = []
    step = max(1, MAX_SCORES // predictions.logits.shape[1:].numel())
    for images, slots in zip(image.split(step), slot.split(step), strict=True):
        assignment = criterion.assign(
            priors, predictions.take(images), _each_alone(gt, images, slots)
        )
        own = torch.arange(len(images), device=images.device)[:, None]
        own = own.expand_as(assignment.sample)
        alone.append(_pairs(own, assignment, len(images), len(priors)))
    levels = torch.stack([level.sum(1) for level in shared.split(priors.level_sizes, dim=1)], 1)
    return Coverage(levels, (torch.cat(alone) & ~shared).sum(1))


def pool(parts: Sequence[Objects] | Sequence[Coverage]) -> Objects | Coverage:
    """The objects of several images, at least one; on the CPU."""
    return type(parts[0])(*(torch.cat(values).cpu() for values in zip(*parts, strict=True)))


def _pairs(number: Tensor, assignment: Assignment, objects: int, samples: int) -> Tensor:
    """(objects, samples) bool, the positive pairs; ``number`` (B, P) is the object of each slot."""
    used = assignment.positive
    pairs = used.new_zeros(objects, samples)
    pairs[number[used], assignment.sample[used]] = True
    return pairs


def _each_alone(gt: GroundTruth, images: Tensor, slots: Tensor) -> GroundTruth:
    """Some objects, each in an image of its own."""
    boxes, labels, valid = (x[images, slots, None] for x in (gt.boxes, gt.labels, gt.valid))
    return GroundTruth(boxes, labels, valid, gt.image_size[images])
