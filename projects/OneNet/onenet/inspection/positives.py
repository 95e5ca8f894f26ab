"""The positive samples of images, as a model's assigner or any other picks them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import NamedTuple

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..assignment import Assigner
from ..meta_arch import OneNet
from ..structures import Assignment, GroundTruth, Predictions, Priors


class PositiveSamples(NamedTuple):
    """An assignment with all that it was made from, of a batch."""

    assignment: Assignment
    priors: Priors
    predictions: Predictions
    gt: GroundTruth


@torch.no_grad()
def positive_samples(
    model: OneNet,
    batched_inputs: list[dict],
    assigner: Assigner | None = None,
    *,
    batch_statistics: bool = False,
) -> PositiveSamples:
    """Assign samples to the ground truth of a batch. The model stays as it is.

    Args:
        model: in evaluation mode.
        batched_inputs: Detectron2's standard format with ``image`` and ``instances``.
        assigner: instead of the model's own.
        batch_statistics: let batch norm normalise by this batch, as in training. A network that was
            never trained needs it: it has seen nothing yet that its own statistics could be of.
    """
    with _normalizing_by_batch(model) if batch_statistics else nullcontext():
        branches, priors = model.outputs(model.preprocess_image(batched_inputs).tensor)
    gt = GroundTruth.from_instances([x["instances"] for x in batched_inputs]).to(model.device)
    predictions = next(iter(branches.values())).float()
    assignment = (assigner or model.criterion.assign)(priors, predictions, gt)
    return PositiveSamples(assignment, priors, predictions, gt)


def was_never_trained(model: nn.Module) -> bool:
    """Whether some batch norm still has the statistics it was made with, which mean nothing."""
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    known = [(norm.running_mean, norm.running_var) for norm in norms if norm.track_running_stats]
    return any(bool((mean == 0).all() & (variance == 1).all()) for mean, variance in known)


@contextmanager
def _normalizing_by_batch(model: nn.Module) -> Iterator[None]:
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    previous = [(norm.training, norm.track_running_stats) for norm in norms]
    for norm in norms:  # without tracking, the statistics of the batch are used and then forgotten
        norm.training, norm.track_running_stats = True, False
    try:
        yield
    finally:
        for norm, state in zip(norms, previous, strict=True):
            norm.training, norm.track_running_stats = state
