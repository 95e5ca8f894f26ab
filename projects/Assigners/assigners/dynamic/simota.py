"""Simplified optimal transport: as many cheap samples as overlap."""

from __future__ import annotations

from dataclasses import replace

import torch
from detectron2.config import configurable
from onenet import ASSIGNER_REGISTRY, Assigner, Assignment, GroundTruth, Predictions, Priors
from onenet.assignment import Condition, Explanation
from onenet.assignment.explanation import ranks
from onenet.assignment.pieces import check_max_pairs, pieces
from onenet.assignment.selection import SmallestSoFar
from onenet.errors import ConfigError
from onenet.geometry import depth_inside, distance_to_centers, elementwise_iou, gather_samples
from torch import Tensor

from ..conflicts import ahead, favourite_if_shared, is_owner
from ..dense import dense_assignment
from ..settings import rule_settings
from .quality import detection_scores, place_terms

PRESETS = {
    "mmdet": {"radius": 2.5, "inside": True, "penalty": 1e5, "iou_eps": 1e-7},
    "yolox": {"radius": 1.5, "inside": False, "penalty": 1e6, "iou_eps": 1e-8},
}
# Stands for costs that are not finite.
NON_FINITE_COST = 1e8
# torch's binary cross-entropy takes no logarithm below this.
LEAST_LOG = -100.0


@ASSIGNER_REGISTRY.register()
class SimOTA(Assigner):
    """A ground truth takes its k cheapest samples; k is the sum of its best IoUs.

    1. Samples near the centre of any ground truth (less than ``radius`` strides along both axes)
       take part; with ``inside`` also those inside any, and then only samples that are both near
       and inside are good for a ground truth. The others cost it ``penalty`` more.
    2. The cost is the binary cross-entropy of all class scores and ``iou_weight`` times -log of the
       predicted box's IoU.
    3. Each ground truth takes its k cheapest samples (of equal ones those of lowest index), where k
       is the sum of its ``topk`` largest IoUs with samples that take part, rounded down and at
       least 1.
    4. A sample that several have taken goes to the ground truth that it costs least, also to one
       that has not taken it; of equal ones to the first.
    5. The class target of a positive is its IoU; the number of positives divides.

    Source: YOLOX (Ge et al., 2021), section 2, after OTA; the presets have the numbers of
    Megvii's ``yolo_head.py`` and of mmdetection's ``SimOTAAssigner``. Where a head has a quality
    branch, the score is the root of its product with the class, as with YOLOX's objectness.

    A ground truth whose samples all go to others has no positive, as in the references: of two
    equal ones the second never has any. One without a good sample takes the cheapest of those that
    others are good for.
    """

    @configurable
    def __init__(
        self,
        *,
        topk: int = 10,
        radius: float = 2.5,
        inside: bool = True,
        iou_weight: float = 3.0,
        penalty: float = 1e5,
        iou_eps: float = 1e-7,
        soft_labels: bool = True,
        max_pairs: int = 0,
    ):
        """
        Args:
            topk: most samples of a ground truth.
            radius: in strides of the level.
            inside: good samples must lie inside of the ground truth.
            iou_weight: of the location cost.
            penalty: cost of a sample that is not good for the ground truth.
            iou_eps: added to the IoU before its logarithm.
            soft_labels: do step 5; otherwise the class target of a positive is 1.
            max_pairs: at most this many (sample, ground truth) pairs are in memory at once. The
                result does not depend on it; 0 = by device.

        Raises:
            ConfigError: a value that is not positive.
        """
        super().__init__()
        for name, value in {"TOPK": topk, "RADIUS": radius}.items():
            if value <= 0:
                raise ConfigError(
                    f"MODEL.OneNet.ASSIGNER.SIMOTA.{name} must be positive, got {value}."
                )
        self.topk = topk
        self.radius = radius
        self.inside = inside
        self.iou_weight = iou_weight
        self.penalty = penalty
        self.iou_eps = iou_eps
        self.soft_labels = soft_labels
        self.max_pairs = check_max_pairs(max_pairs)

    @classmethod
    def from_config(cls, cfg):
        return rule_settings(cfg, "SIMOTA", PRESETS)

    @torch.no_grad()
    def forward(self, priors: Priors, predictions: Predictions, gt: GroundTruth) -> Assignment:
        cheapest, favourite, overlaps = SmallestSoFar(self.topk), [], []
        for start, *part in pieces(priors, predictions, gt, self.max_pairs):
            cost, iou = self._costs(*part, gt)
            cheapest.add(cost, start)
            favourite.append(cost.min(dim=1).indices)
            overlaps.append(_largest(iou, self.topk))
        cost, sample = cheapest.result()
        count = self._count(torch.cat(overlaps, dim=-1))
        rank = torch.arange(cost.shape[-1], device=cost.device)
        taken = (rank < count) & cost.isfinite()
        owner = favourite_if_shared(sample, taken, torch.cat(favourite, dim=1), len(priors))
        return self._assignment(owner, predictions, gt)

    @torch.no_grad()
    def explain(self, priors: Priors, predictions: Predictions, gt: GroundTruth) -> Explanation:
        parts = pieces(priors, predictions, gt, self.max_pairs)
        found = [self._costs(*part, gt) for _, *part in parts]
        cost, iou = (torch.cat(values, dim=-1) for values in zip(*found, strict=True))
        part, good = self._regions(priors, gt)
        count, rank = self._count(iou), ranks(cost)
        taken = (rank < count) & cost.isfinite()
        sample = torch.arange(len(priors), device=rank.device).expand_as(rank)
        owner = favourite_if_shared(sample, taken, cost.min(dim=1).indices, len(priors))
        mine = is_owner(owner, gt.valid.shape[1])
        region = "near a centre" + (" or inside an object" if self.inside else "")
        conditions = [
            Condition(region, part),
            Condition("one of its k cheapest, or left by others", taken | mine, count - 1 - rank),
            Condition("the object that it costs least", mine, ahead(-cost, part), contest=True),
        ]
        quantities = {
            **place_terms(priors, gt),
            "IoU": elementwise_iou(predictions.boxes.float()[:, None], gt.boxes[:, :, None]),
            "class cost": self._class_cost(predictions, gt.labels),
            "IoU cost": torch.log(iou + self.iou_eps) * -self.iou_weight,
            "cost of the place": ~good * self.penalty,
            "cost": cost,
            "rank of the cost": rank,
            "k": count,
        }
        return Explanation.of(gt, len(priors), quantities, conditions)

    def _count(self, iou: Tensor) -> Tensor:
        """Step 3: k, (B, G, 1), for IoUs (B, G, n) that hold the largest ones of all samples."""
        largest = _largest(iou, self.topk)
        return largest.sum(dim=-1, keepdim=True).floor_().clamp_(min=1)

    def _assignment(self, owner: Tensor, predictions: Predictions, gt: GroundTruth) -> Assignment:
        """Step 5, for the ground truth (B, R) of each sample, G where it has none."""
        slots = gt.labels.shape[1]
        index = owner.clamp(max=slots - 1)
        assignment = dense_assignment(index, owner < slots)
        if not self.soft_labels:
            return assignment
        iou = elementwise_iou(predictions.boxes.float(), gather_samples(gt.boxes, index))
        return replace(assignment, score=iou.nan_to_num_(0))

    def _costs(
        self, priors: Priors, predictions: Predictions, gt: GroundTruth
    ) -> tuple[Tensor, Tensor]:
        """Steps 1 and 2: cost, infinite where a sample takes no part, and IoU, each (B, G, r)."""
        part, good = self._regions(priors, gt)
        iou = elementwise_iou(predictions.boxes.float()[:, None], gt.boxes[:, :, None])
        iou = iou.nan_to_num_(0).mul_(part)
        cost = self._class_cost(predictions, gt.labels)
        cost.add_(torch.log(iou + self.iou_eps), alpha=-self.iou_weight)
        cost.add_(~good, alpha=self.penalty)
        cost = cost.nan_to_num_(NON_FINITE_COST, NON_FINITE_COST, NON_FINITE_COST)
        return cost.masked_fill_(~part, torch.inf), iou

    def _regions(self, priors: Priors, gt: GroundTruth) -> tuple[Tensor, Tensor]:
        """Which pairs take part, and for which ground truth a sample is good: (B, G, r) bool."""
        valid = gt.valid[..., None]
        near = distance_to_centers(priors.points, gt.boxes) < self.radius * priors.stride
        near &= valid
        if not self.inside:
            return near.any(dim=1, keepdim=True) & valid, near
        inside = (depth_inside(priors.points, gt.boxes) > 0) & valid
        return (near | inside).any(dim=1, keepdim=True) & valid, near & inside

    def _class_cost(self, predictions: Predictions, labels: Tensor) -> Tensor:
        """(B, G, r), cross-entropy of all scores of a sample with the label of a ground truth."""
        scores = detection_scores(predictions)
        if predictions.quality is not None:
            scores = scores.sqrt_()
        image = torch.arange(len(labels), device=labels.device)[:, None]
        negative = torch.log1p(-scores).clamp_(min=LEAST_LOG)
        positive = scores.log_().clamp_(min=LEAST_LOG).transpose(1, 2)[image, labels]
        cost = negative.transpose(1, 2)[image, labels] - positive
        return cost.sub_(negative.sum(dim=-1)[:, None])


def _largest(values: Tensor, count: int) -> Tensor:
    """The ``count`` largest values of each row, or all if there are fewer."""
    return values.topk(min(count, values.shape[-1])).values
