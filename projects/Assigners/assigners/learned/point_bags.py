"""The samples inside an object, and what each counts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from onenet import Assigner, Assignment, GroundTruth, Predictions, Priors
from onenet.assignment import Condition, Explanation
from onenet.assignment.pieces import check_max_pairs, pieces
from onenet.assignment.selection import SmallestSoFar
from onenet.errors import ConfigError
from onenet.geometry import depth_inside
from torch import Tensor

from ..conflicts import contest
from ..dense import dense_assignment
from ..dynamic.quality import scores_for
from .center_prior import CenterPrior
from .pairwise_giou import pairwise_iou_giou

CONFIDENCE = 3.0  # a sample counts by exp(3 x its likelihood)
SHOWN = 0.5  # positive samples are shown from this part of the largest weight on


class Piece(NamedTuple):
    """Consecutive samples, and which ground truths without any inside (B, G, r) they stand for."""

    priors: Priors
    predictions: Predictions
    gt: GroundTruth
    forced: Tensor | None

    def inside(self) -> Tensor:
        """(B, G, r), 1 where a sample is in the bag of a ground truth, else 0."""
        # Not bool: masks are slow on a CPU, a product is not.
        inside = depth_inside(self.priors.points, self.gt.boxes).gt_(0)
        inside.mul_(self.gt.valid[..., None])
        return inside if self.forced is None else torch.maximum(inside, self.forced)


class PointBags(Assigner):
    """The samples inside of a ground truth, weighted by center prior and likelihood.

    Positive are those whose weight is at least half of the largest of a ground truth; a sample of
    several goes to the one in which it has the largest part.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        box_weight: float = 5.0,
        force_topk: int = 0,
        max_pairs: int = 0,
    ):
        """
        Args:
            num_classes: K, which have a center prior each.
            box_weight: of the GIoU loss in the likelihood of a sample.
            force_topk: a ground truth with no sample inside takes as many of highest center prior.
            max_pairs: at most this many (sample, ground truth) pairs are worked off at once. The
                result does not depend on it; 0 = by device.

        Raises:
            ConfigError: a negative number.
        """
        super().__init__()
        for name, value in {"BOX_WEIGHT": box_weight, "FORCE_TOPK": force_topk}.items():
            if value < 0:
                raise ConfigError(
                    f"MODEL.OneNet.ASSIGNER.AUTO_ASSIGN.{name} must not be negative, got {value}."
                )
        self.center_prior = CenterPrior(num_classes)
        self.box_weight = box_weight
        self.force_topk = force_topk
        self.max_pairs = check_max_pairs(max_pairs)

    def pieces(self, priors: Priors, predictions: Predictions, gt: GroundTruth) -> Iterator[Piece]:
        """Consecutive samples."""
        forced = self._forced(priors, predictions, gt) if self.force_topk else None
        for start, part, predicted in pieces(priors, predictions, gt, self.max_pairs):
            piece = None if forced is None else forced[..., start : start + len(part)]
            yield Piece(part, predicted, gt, piece)

    @torch.no_grad()
    def _forced(self, priors: Priors, predictions: Predictions, gt: GroundTruth) -> Tensor:
        """(B, G, R), 1 at the samples of valid ground truths that have none inside, else 0."""
        nearest, empty = SmallestSoFar(self.force_topk), gt.valid[..., None]
        for start, part, _ in pieces(priors, predictions, gt, self.max_pairs):
            nearest.add(-self.center_prior(part, gt), start)
            inside = depth_inside(part.points, gt.boxes) > 0
            empty = empty & ~inside.any(dim=-1, keepdim=True)
        _, sample = nearest.result()
        forced = empty.new_zeros(*gt.labels.shape, len(priors))
        return forced.scatter(2, sample, empty.expand_as(sample)).float()

    def weights(self, piece: Piece, inside: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Positive weight, likelihood, center prior and IoU (without gradient), each (B, G, r)."""
        priors, predictions, gt, _ = piece
        # Far away the prior underflows, which takes a CPU ten times as long.
        prior = (self.center_prior(priors, gt) * inside).exp() * inside
        iou, giou = pairwise_iou_giou(predictions.boxes, gt.boxes)
        likelihood = scores_for(predictions, gt.labels) * ((giou - 1) * self.box_weight).exp()
        return (likelihood * CONFIDENCE).exp() * prior, likelihood, prior, iou

    def forward(self, priors: Priors, predictions: Predictions, gt: GroundTruth) -> Assignment:
        weight = [
            self.weights(piece, piece.inside())[0] for piece in self.pieces(priors, predictions, gt)
        ]
        largest = torch.stack([piece.amax(dim=-1) for piece in weight]).amax(dim=0)[..., None]
        largest = largest.clamp(min=torch.finfo(largest.dtype).tiny)
        best = [(piece / largest).max(dim=1) for piece in weight]
        part, index = (torch.cat(pieces, dim=1) for pieces in zip(*best, strict=True))
        return dense_assignment(index, part >= SHOWN)

    @torch.no_grad()
    def explain(self, priors: Priors, predictions: Predictions, gt: GroundTruth) -> Explanation:
        found = []
        for piece in self.pieces(priors, predictions, gt):
            inside = piece.inside()
            found.append((inside, *self.weights(piece, inside)))
        inside, *terms = (torch.cat(values, dim=-1) for values in zip(*found, strict=True))
        weight, likelihood, prior, iou = terms
        least = torch.finfo(weight.dtype).tiny
        part = weight / weight.amax(dim=-1, keepdim=True).clamp(min=least)
        depth = depth_inside(priors.points, gt.boxes)
        enough = part >= SHOWN
        forced = ", or among the nearest to one without any" if self.force_topk else ""
        conditions = [
            Condition(f"inside the object{forced}", inside > 0, depth, "px"),
            Condition(f"at least {SHOWN:g} of its largest weight", enough, part - SHOWN),
            contest("the object in which it has the largest part", part, enough),
        ]
        quantities = {
            "IoU": iou,
            "likelihood": likelihood,
            "center prior": prior,
            "weight": weight / weight.sum(dim=-1, keepdim=True).clamp(min=least),
            "part of the largest weight": part,
        }
        return Explanation.of(gt, len(priors), quantities, conditions)
