"""What the objects of a dataset get from several rules."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import torch
from detectron2.structures import Instances

from ..assignment.levels import SizeRanges
from ..criterion import Criterion
from ..errors import UserError
from ..meta_arch import OneNet
from ..structures import GroundTruth, Predictions, Priors
from .coverage import Coverage, Objects, cover, describe_objects, pool
from .positives import positive_samples, was_never_trained
from .subjects import UNTRAINED, teach
from .unread import NeedsPredictions, UnreadPredictions

BATCH = 32  # images of one size that are assigned at once, where the network need not run


class Survey(NamedTuple):
    """What was found.

    Attributes:
        objects: all of them.
        rules: what they got, by the name of the rule.
        strides: of each level, pixels.
    """

    objects: Objects
    rules: dict[str, Coverage]
    strides: list[float]


class _Batch(NamedTuple):
    priors: Priors
    predictions: Predictions | UnreadPredictions
    gt: GroundTruth


@torch.no_grad()
def survey(
    model: OneNet,
    scenes: Iterable[dict],
    criteria: Mapping[str, Criterion],
    size_ranges: SizeRanges,
    *,
    predicting: bool,
) -> Survey:
    """Assign the samples of many images, and look at what each object gets.

    Args:
        model: in evaluation mode.
        scenes: Detectron2's standard format with ``image`` and ``instances``.
        criteria: with the rules, by name.
        size_ranges: see :func:`describe_objects`.
        predicting: run the network on each image; otherwise only its samples are known, the images
            may be blank, and rules must read priors alone.

    Raises:
        UserError: no image has an object, or a rule needs predictions.
    """
    teach(model, criteria)
    batches = _predict(model, scenes) if predicting else _priors_alone(model, scenes)
    objects: list[Objects] = []
    rules: dict[str, list[Coverage]] = {name: [] for name in criteria}
    for batch in batches:
        objects.append(describe_objects(batch.gt, batch.priors, size_ranges))
        for name, criterion in criteria.items():
            rules[name].append(_cover(name, criterion, batch))
    if not objects:
        raise UserError("--input: there is no object in these images.")
    priors = batch.priors
    strides = [float(part[0]) for part in priors.stride.split(priors.level_sizes)]
    return Survey(pool(objects), {name: pool(parts) for name, parts in rules.items()}, strides)


def _cover(name: str, criterion: Criterion, batch: _Batch) -> Coverage:
    try:
        return cover(criterion, *batch)
    except NeedsPredictions:
        raise UserError(
            f'--assigners "{name}" looks at predictions: give --weights of a trained model, or '
            f"--weights {UNTRAINED}."
        ) from None


def _predict(model: OneNet, scenes: Iterable[dict]) -> Iterator[_Batch]:
    """Run the network on each image that has objects."""
    fresh = was_never_trained(model)
    for scene in scenes:
        if len(scene["instances"]):
            _, *seen = positive_samples(model, [scene], batch_statistics=fresh)
            yield _Batch(*seen)


def _priors_alone(model: OneNet, scenes: Iterable[dict]) -> Iterator[_Batch]:
    """Ask the network for its samples once for each size of images, and join those of one size."""
    samples: dict[torch.Size, tuple[Priors, int]] = {}
    waiting: dict[torch.Size, list[Instances]] = defaultdict(list)

    def batch(size: torch.Size) -> _Batch:
        priors, num_classes = samples[size]
        gt = GroundTruth.from_instances(waiting.pop(size)).to(model.device)
        return _Batch(priors, UnreadPredictions(len(gt.boxes), num_classes, priors), gt)

    for scene in scenes:
        if not len(scene["instances"]):
            continue
        image = model.preprocess_image([scene]).tensor
        size = image.shape
        if size not in samples:
            branches, priors = model.outputs(torch.zeros_like(image))
            samples[size] = priors, next(iter(branches.values())).logits.shape[-1]
        waiting[size].append(scene["instances"])
        if len(waiting[size]) == BATCH:
            yield batch(size)
    yield from map(batch, list(waiting))
