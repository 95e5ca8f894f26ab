"""Probabilistic anchor assignment."""

from __future__ import annotations

from dataclasses import replace

import torch
from detectron2.config import configurable
from onenet import ASSIGNER_REGISTRY, Assigner, Assignment, GroundTruth, Predictions, Priors
from onenet.assignment import Condition, Explanation
from onenet.errors import ConfigError
from onenet.geometry import elementwise_iou, elementwise_iou_giou, gather_samples
from torch import Tensor

from ..dense import dense_assignment
from ..settings import rule_settings
from ..static.max_iou import MaxIoU
from .mixture import fit_mixture
from .quality import focal_losses

PRESETS = {"paa": {"whole_prefix": True}, "mmdet": {"whole_prefix": False}}
NON_FINITE_LOSS = 1e8
# A positive whose predicted box misses its object stays one.
LEAST_WEIGHT = 1e-6


@ASSIGNER_REGISTRY.register()
class PAA(Assigner):
    """Of an object's candidates, those of low loss, as two Gaussians tell them from the others.

    1. Candidates are the samples whose prior box has an IoU of at least ``candidate_iou``, and the
       best of each object, of the ground truth that they overlap most (:class:`MaxIoU`).
    2. The loss of a candidate is the focal loss, all classes together, and ``giou_weight`` times
       1 - GIoU of its predicted box. An object keeps the ``topk`` of least loss on each level.
    3. Two Gaussians are fitted to their losses. Positives are the candidates up to the one where
       the density is highest, of those that belong to the lower Gaussian; all else is negative.
    4. Box losses are weighted by the IoU of the predicted box; the number of positives divides.

    Source: Kim and Lee, "Probabilistic Anchor Assignment with IoU Prediction", ECCV 2020, and its
    official code (preset ``paa``). Its detector has a branch that predicts the IoU. The Gaussians
    are those that scikit-learn finds, of all objects at once.

    The preset ``mmdet`` differs where an object would lose positives: a single candidate is
    negative, so are all if none belongs to the lower Gaussian, and those of the upper Gaussian
    that lie before the last positive. With ``paa`` they are positive.
    """

    quality_target = "iou"

    @configurable
    def __init__(
        self,
        *,
        topk: int = 9,
        candidate_iou: float = 0.1,
        giou_weight: float = 1.3,
        alpha: float = 0.25,
        gamma: float = 2.0,
        whole_prefix: bool = True,
        max_pairs: int = 0,
    ):
        """
        Args:
            topk: candidates of an object on each level.
            candidate_iou: least IoU of step 1.
            giou_weight: of the GIoU loss in step 2.
            alpha, gamma: of the focal loss there.
            whole_prefix: all candidates up to the last positive are positive, and all of an object
                if no Gaussian tells them apart.
            max_pairs: bounds the memory of step 1, see :class:`MaxIoU`.

        Raises:
            ConfigError: a value out of its range.
        """
        super().__init__()
        key = "MODEL.OneNet.ASSIGNER.PAA"
        if topk < 1:
            raise ConfigError(f"{key}.TOPK must be positive, got {topk}.")
        if not 0 < candidate_iou <= 1:
            raise ConfigError(f"{key}.CANDIDATE_IOU must be in (0, 1], got {candidate_iou}.")
        self.candidates = MaxIoU(pos_iou=candidate_iou, neg_iou=candidate_iou, max_pairs=max_pairs)
        self.max_pairs = max_pairs
        self.topk = topk
        self.giou_weight = giou_weight
        self.alpha = alpha
        self.gamma = gamma
        self.whole_prefix = whole_prefix

    @classmethod
    def from_config(cls, cfg):
        return rule_settings(cfg, "PAA", PRESETS)

    @torch.no_grad()
    def forward(self, priors: Priors, predictions: Predictions, gt: GroundTruth) -> Assignment:
        candidates = self.candidates(priors, predictions, gt)
        loss = self._losses(predictions, gt, candidates.gt)
        sample, least = self._least(loss, candidates, priors, gt.labels.shape[1])
        positive = _scatter(separate(least, self.whole_prefix), sample, len(priors))
        assignment = dense_assignment(candidates.gt, positive)
        return replace(assignment, weight=self._weights(predictions, gt, assignment))

    @torch.no_grad()
    def explain(self, priors: Priors, predictions: Predictions, gt: GroundTruth) -> Explanation:
        candidates = self.candidates(priors, predictions, gt)
        loss = self._losses(predictions, gt, candidates.gt)
        sample, least = self._least(loss, candidates, priors, gt.labels.shape[1])
        good = separate(least, self.whole_prefix)
        kept, positive = (
            _scatter(x, sample, len(priors))[:, None] for x in (least.isfinite(), good)
        )
        last = least.masked_fill(~good, -torch.inf).amax(dim=-1, keepdim=True)
        reasons = self.candidates.explain(priors, predictions, gt)
        conditions = [
            *reasons.conditions,
            Condition(f"one of the {self.topk} candidates of least loss on its level", kept),
            Condition("of the lower Gaussian of the losses", positive, last - loss[:, None]),
        ]
        weight = self(priors, predictions, gt).weight
        quantities = {
            "IoU of the prior box": reasons.quantities["IoU"],
            "loss with the object that it overlaps most": loss[:, None],
            "largest loss of a positive of the object": last,
            "weight of the box losses": weight[:, None],
        }
        return Explanation.of(gt, len(priors), quantities, conditions)

    def _losses(self, predictions: Predictions, gt: GroundTruth, index: Tensor) -> Tensor:
        """Step 2: (B, R) the loss of each sample with ground truth ``index`` (B, R)."""
        labels = gt.labels.gather(1, index)[..., None]
        at_label = predictions.logits.float().gather(2, labels)[..., 0]
        background, change = focal_losses(predictions, at_label, self.alpha, self.gamma)
        boxes, targets = predictions.boxes.float(), gather_samples(gt.boxes, index)
        _, giou = elementwise_iou_giou(boxes, targets)
        loss = background + change + self.giou_weight * (1 - giou)
        return loss.nan_to_num_(NON_FINITE_LOSS, NON_FINITE_LOSS, NON_FINITE_LOSS)

    def _least(
        self, loss: Tensor, candidates: Assignment, priors: Priors, slots: int
    ) -> tuple[Tensor, Tensor]:
        """The candidates of least loss on each level, each (B, G, levels * topk), ascending.

        Returns:
            The samples, int64, and their losses; R and infinite where there is none.
        """
        levels, num_samples = len(priors.level_sizes), loss.shape[1]
        none = slots * levels
        group = (candidates.gt * levels + priors.level).masked_fill(~candidates.positive, none)
        by_loss = loss.argsort(dim=1, stable=True)
        order = by_loss.gather(1, group.gather(1, by_loss).argsort(dim=1, stable=True))
        group = group.gather(1, order)
        place = torch.arange(num_samples, device=loss.device).expand_as(group)
        begins = torch.ones_like(group, dtype=torch.bool)
        begins[:, 1:] = group[:, 1:] != group[:, :-1]
        rank = place - place.masked_fill(~begins, 0).cummax(dim=1).values
        kept = (rank < self.topk) & (group < none)
        target = (group * self.topk + rank).masked_fill(~kept, none * self.topk)
        table = order.new_full((len(loss), none * self.topk + 1), num_samples)
        table = table.scatter(1, target, order)[:, :-1]
        sample = table.view(len(loss), slots, levels * self.topk)
        absent = loss.new_full((len(loss), 1), torch.inf)
        least = gather_samples(torch.cat([loss, absent], dim=1), sample.flatten(1))
        least, order = least.view_as(sample).sort(dim=-1, stable=True)
        return sample.gather(-1, order), least

    def _weights(self, predictions: Predictions, gt: GroundTruth, assignment: Assignment) -> Tensor:
        """Step 4: (B, R), with a mean of 1 over the positives."""
        positive = assignment.weight
        targets = gather_samples(gt.boxes, assignment.gt)
        iou = elementwise_iou(predictions.boxes.float(), targets).nan_to_num_(0) * positive
        mean = iou.sum() / positive.sum().clamp(min=1)
        return (iou / mean.clamp(min=LEAST_WEIGHT)).clamp_(min=LEAST_WEIGHT) * positive


def _scatter(values: Tensor, sample: Tensor, num_samples: int) -> Tensor:
    """(B, R) bool, values (B, G, n) bool at their samples; those at R are left out."""
    scattered = values.new_zeros(len(values), num_samples + 1)
    return scattered.scatter(1, sample.flatten(1), values.flatten(1))[:, :-1]


def separate(loss: Tensor, whole_prefix: bool) -> Tensor:
    """Step 3: which candidates are positive.

    Args:
        loss: (..., n), ascending, infinite where there is none.
        whole_prefix: see :class:`PAA`.

    Returns:
        (..., n) bool.
    """
    valid = loss.isfinite()
    values = loss.masked_fill(~valid, 0).double()
    densities = fit_mixture(values, valid).log_densities(values)
    low = (densities[..., 0] >= densities[..., 1]) & valid
    density = densities.logsumexp(dim=-1).masked_fill(~low, -torch.inf)
    place = torch.arange(loss.shape[-1], device=loss.device)
    prefix = place <= density.argmax(dim=-1, keepdim=True)
    alone = valid.sum(dim=-1, keepdim=True) == 1
    if not whole_prefix:
        return prefix & low & ~alone
    undecided = alone | ~low.any(dim=-1, keepdim=True)
    return (prefix | undecided) & valid
