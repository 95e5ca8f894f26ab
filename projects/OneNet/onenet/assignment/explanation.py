"""Why a sample is positive for a ground truth, or is not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..structures import IGNORED, NEGATIVE, Assignment, GroundTruth

# What a margin is called on either side of 0, by its unit.
SIDES = {"px": ("inside", "outside"), "cells": ("inside", "away")}
OTHER_SIDES = "to spare", "short"


@dataclass(frozen=True)
class Condition:
    """Something that a rule asks of every pair of a ground truth and a sample.

    Attributes:
        name: reads on after "is it" or "has it": "inside the centre region".
        passed: (B, G, R) bool.
        margin: (B, G, R) by how much, negative where it fails; not finite where that has no
            meaning. None = it has none anywhere.
        unit: of the margin, "" for a plain number.
        contest: whether it is between the ground truths that want the sample.
    """

    name: str
    passed: Tensor
    margin: Tensor | None = None
    unit: str = ""
    contest: bool = False

    def text(self, image: int, gt: int, sample: int) -> str:
        """One line for a pair, as "inside the centre region: no, 7.2 px outside"."""
        passed = bool(self.passed[image, gt, sample])
        line = f"{self.name}: {'yes' if passed else 'no'}"
        if self.margin is None:
            return line
        margin = self.margin[image, gt, sample].item()
        if abs(margin) == float("inf") or not (margin >= 0 if passed else margin <= 0):
            return line  # something else has decided
        side = SIDES.get(self.unit, OTHER_SIDES)[0 if passed else 1]
        return " ".join(filter(None, [f"{line}, {abs(margin):.4g}", self.unit, side]))

    def _expand(self, shape: Sequence[int]) -> Condition:
        margin = None if self.margin is None else self.margin.expand(shape)
        return replace(self, passed=self.passed.expand(shape), margin=margin)


@dataclass(frozen=True)
class Explanation:
    """What a rule looked at, and the conditions that it asked, in their order.

    A sample is positive for a ground truth if the pair passes all ``conditions``. One that is
    positive for none is ignored if a pair of it passes any of ``ignored``, and else negative.

    Attributes:
        valid: (B, G) bool, False in padded slots.
        quantities: (B, G, R) each, by name with the unit in brackets; what belongs to a ground
            truth or to a sample alone is the same in its whole row or column.
        conditions: of a positive.
        ignored: each of them enough for a sample without a ground truth to be ignored.
    """

    valid: Tensor
    quantities: Mapping[str, Tensor]
    conditions: tuple[Condition, ...]
    ignored: tuple[Condition, ...] = ()

    @classmethod
    def of(
        cls,
        gt: GroundTruth,
        num_samples: int,
        quantities: Mapping[str, Tensor],
        conditions: Sequence[Condition],
        ignored: Sequence[Condition] = (),
    ) -> Explanation:
        """The same, of tensors that are broadcast to (B, G, R)."""
        shape = (*gt.valid.shape, num_samples)
        return cls(
            valid=gt.valid,
            quantities={name: values.expand(shape) for name, values in quantities.items()},
            conditions=tuple(condition._expand(shape) for condition in conditions),
            ignored=tuple(condition._expand(shape) for condition in ignored),
        )

    @classmethod
    def of_assignment(
        cls, gt: GroundTruth, num_samples: int, assignment: Assignment, rule: str
    ) -> Explanation:
        """What an assignment tells of itself: who is chosen, with which weight and class target."""
        chosen = pair_values(assignment.positive.float(), assignment, gt, num_samples) > 0
        ignored = []
        if assignment.cls_weight is not None:
            without = (assignment.cls_weight == 0).all(dim=-1)[:, None]
            ignored = [Condition(f"left out by {rule}", without)]
        quantities = {
            "weight": pair_values(assignment.weight, assignment, gt, num_samples),
            "class target": pair_values(assignment.score, assignment, gt, num_samples),
        }
        return cls.of(
            gt, num_samples, quantities, [Condition(f"chosen by {rule}", chosen)], ignored
        )

    @property
    def positive(self) -> Tensor:
        """(B, G, R) bool, the pairs that pass all conditions."""
        return self._pass(self.conditions)

    @property
    def wanted(self) -> Tensor:
        """(B, G, R) bool, the pairs that pass all conditions before the first contest."""
        contests = [index for index, x in enumerate(self.conditions) if x.contest]
        return self._pass(self.conditions[: contests[0] if contests else None])

    @property
    def verdict(self) -> Tensor:
        """(B, R) int64, what :meth:`Assignment.dense_gt` of the same assignment is."""
        positive = self.positive
        ignored = torch.zeros_like(positive[:, 0])
        for condition in self.ignored:
            ignored |= condition.passed.any(dim=1)
        background = torch.where(ignored, IGNORED, NEGATIVE)
        return torch.where(positive.any(dim=1), positive.int().argmax(dim=1), background)

    @property
    def first_failed(self) -> Tensor:
        """(B, G, R) int64, index of the first condition that a pair fails; their number if none."""
        failed = [~condition.passed for condition in self.conditions]
        return torch.stack([*failed, torch.ones_like(failed[0])]).int().argmax(dim=0)

    def describe(self, gt: int, sample: int, image: int = 0) -> list[str]:
        """The conditions of a pair with what came of them, a line each.

        Args:
            gt: slot of the ground truth.
            sample: index of the sample.
            image: of the batch.
        """
        return [condition.text(image, gt, sample) for condition in self.conditions]

    def kept(self, left_out: str, samples: Tensor) -> Explanation:
        """The explanation of :meth:`Assignment.keep`.

        Args:
            left_out: what happened to the others: "left out in an ignore region".
            samples: (B, R) bool, the ones to keep.
        """
        shape, samples = self.conditions[0].passed.shape, samples[:, None]
        condition = Condition(f"not {left_out}", samples)._expand(shape)
        reason = Condition(left_out, ~samples)._expand(shape)
        return replace(
            self, conditions=(*self.conditions, condition), ignored=(*self.ignored, reason)
        )

    def add(self, quantities: Mapping[str, Tensor]) -> Explanation:
        """The same with more quantities, of tensors that are broadcast to (B, G, R)."""
        shape = self.conditions[0].passed.shape
        more = {name: values.expand(shape) for name, values in quantities.items()}
        return replace(self, quantities={**self.quantities, **more})

    def _pass(self, conditions: Sequence[Condition]) -> Tensor:
        passed = self.valid[..., None].expand_as(self.conditions[0].passed)
        for condition in conditions:
            passed = passed & condition.passed
        return passed


def pair_values(
    values: Tensor, assignment: Assignment, gt: GroundTruth, num_samples: int
) -> Tensor:
    """(B, G, R) float32, values (B, P) of the slots in use at their pairs, 0 elsewhere."""
    batch, slots = gt.valid.shape
    pair = assignment.gt * num_samples + assignment.sample
    table = values.new_zeros(batch, slots * num_samples)
    used = values.masked_fill(~assignment.positive, 0)
    return table.scatter_reduce(1, pair, used, "amax").view(batch, slots, num_samples)


def ranks(values: Tensor) -> Tensor:
    """(..., n) int64, place of each value in its row in ascending order, of equal ones by index."""
    order = values.argsort(dim=-1, stable=True)
    place = torch.arange(values.shape[-1], device=values.device).expand_as(order)
    return torch.empty_like(order).scatter(-1, order, place)


def one_sample_each(sample: Tensor, matched: Tensor, num_samples: int) -> Tensor:
    """(B, G, R) bool, the pairs of ground truths with a sample (B, G) where it is ``matched``."""
    number = torch.arange(num_samples, device=sample.device)
    return (sample[..., None] == number) & matched[..., None]
