"""Optimal transport assignment."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from detectron2.config import configurable
from onenet import ASSIGNER_REGISTRY, Assigner, Assignment, GroundTruth, Predictions, Priors
from onenet.assignment import Condition, Explanation
from onenet.assignment.overlaps import pairwise_iou
from onenet.assignment.pieces import check_max_pairs, piece_size
from onenet.assignment.regions import in_center_region
from onenet.errors import ConfigError
from onenet.geometry import depth_inside, elementwise_iou
from torch import Tensor

from ..conflicts import ahead, is_owner
from ..dense import dense_assignment
from ..settings import rule_settings
from .quality import focal_losses, logits_for
from .sinkhorn import shares_of_plan

# A point nearer to a side than this (pixels) is outside; the number of the reference.
MARGIN = 0.01
# What a pair costs more that is not allowed, and what stands for costs that are not finite.
FORBIDDEN, NON_FINITE_COST = 1e6, 1e8


@ASSIGNER_REGISTRY.register()
class OTA(Assigner):
    """Objects supply positive labels and the background negative ones; samples demand one each.

    1. A pair costs the focal loss of the sample, all classes together, with the label of the
       object, and ``iou_weight`` times -log of its predicted box's IoU; with the background only
       the focal loss. An object may label samples whose points lie inside of it and less than
       ``radius`` strides from its centre.
    2. An object supplies k labels, the sum of its ``topk`` largest IoUs with such samples, rounded
       down and at least 1; the background supplies the rest.
    3. Optimal transport, with ``epsilon`` of entropy and ``iterations`` of Sinkhorn, sends them.
       The plan is divided by the largest amount that an object (or the background) sends; a sample
       belongs to whom it then has most of, of equal ones to the first.

    An object need not end with k positives. One that has no such sample competes for all of them.

    Source: Ge et al., "OTA: Optimal Transport Assignment for Object Detection", CVPR 2021; numbers
    and order of its official code. Its detector has a branch that predicts the IoU.
    """

    quality_target = "iou"

    @configurable
    def __init__(
        self,
        *,
        topk: int = 20,
        radius: float = 2.5,
        iou_weight: float = 1.5,
        alpha: float = 0.25,
        gamma: float = 2.0,
        epsilon: float = 0.1,
        iterations: int = 50,
        max_pairs: int = 0,
    ):
        """
        Args:
            topk: IoUs that count for k.
            radius: in strides of the level.
            iou_weight: of -log IoU in the cost.
            alpha, gamma: of the focal loss in the cost.
            epsilon: of the entropy, in units of cost.
            iterations: of Sinkhorn.
            max_pairs: if all images have more (sample, ground truth) pairs, they are worked off one
                after the other. The result does not depend on it; 0 = by device.

        Raises:
            ConfigError: a value that is not positive.
        """
        super().__init__()
        positive = {"TOPK": topk, "RADIUS": radius, "EPSILON": epsilon, "ITERATIONS": iterations}
        for name, value in positive.items():
            if value <= 0:
                raise ConfigError(
                    f"MODEL.OneNet.ASSIGNER.OTA.{name} must be positive, got {value}."
                )
        self.topk = topk
        self.radius = radius
        self.iou_weight = iou_weight
        self.alpha = alpha
        self.gamma = gamma
        self.epsilon = epsilon
        self.iterations = iterations
        self.max_pairs = check_max_pairs(max_pairs)

    @classmethod
    def from_config(cls, cfg):
        return rule_settings(cfg, "OTA")

    @torch.no_grad()
    def forward(self, priors: Priors, predictions: Predictions, gt: GroundTruth) -> Assignment:
        slots = gt.valid.shape[1]
        parts = self._images(priors, predictions, gt)
        owner = torch.cat([self.shares(*part).argmax(dim=1) for part in parts])
        return dense_assignment(owner.clamp(max=slots - 1), owner < slots)

    @torch.no_grad()
    def explain(self, priors: Priors, predictions: Predictions, gt: GroundTruth) -> Explanation:
        parts = list(self._images(priors, predictions, gt))
        problems = zip(*(self._problem(*part) for part in parts), strict=True)
        cost, background, supply = (torch.cat(x).float() for x in problems)
        shares = torch.cat([self.shares(*part) for part in parts])
        share, rest = shares[:, :-1], shares[:, -1:]
        conditions = [
            Condition("a share not below that of the background", share >= rest, share - rest),
            Condition(
                "the object of the largest share",
                is_owner(shares.argmax(dim=1), gt.valid.shape[1]),
                ahead(share, gt.valid[..., None].expand_as(share)),
                contest=True,
            ),
        ]
        quantities = {
            "IoU": pairwise_iou(predictions.boxes.float(), gt),
            "cost": cost,
            "cost as background": background[:, None],
            "labels of the object": supply[..., None],
            "share": share,
            "share of the background": rest,
        }
        return Explanation.of(gt, len(priors), quantities, conditions)

    def _images(
        self, priors: Priors, predictions: Predictions, gt: GroundTruth
    ) -> Iterator[tuple[Priors, Predictions, GroundTruth]]:
        """As many images at a time as suits the memory."""
        images, slots = gt.valid.shape
        step = piece_size(self.max_pairs, slots * len(priors), gt.valid.device)
        for start in range(0, images, step):
            part = slice(start, start + step)
            predicted = Predictions(predictions.logits[part], predictions.boxes[part])
            some = GroundTruth(gt.boxes[part], gt.labels[part], gt.valid[part], gt.image_size[part])
            yield priors, predicted, some

    def shares(self, priors: Priors, predictions: Predictions, gt: GroundTruth) -> Tensor:
        """Step 3: (B, G + 1, R), of each ground truth and, last, of the background."""
        cost, background, supply = self._problem(priors, predictions, gt)
        rest = (len(priors) - supply.sum(dim=1, keepdim=True)).clamp(min=1)
        return shares_of_plan(
            torch.cat([cost, background[:, None]], dim=1),
            torch.cat([supply, rest], dim=1),
            self.epsilon,
            self.iterations,
        )

    def _problem(
        self, priors: Priors, predictions: Predictions, gt: GroundTruth
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Steps 1 and 2, float64: costs (B, G, R) and (B, R) of the background, supplies (B, G)."""
        allowed = in_center_region(priors, gt.boxes, self.radius)
        allowed &= depth_inside(priors.points, gt.boxes) > MARGIN
        iou = elementwise_iou(predictions.boxes.float()[:, None], gt.boxes[:, :, None])
        iou = iou.nan_to_num_(0)
        background, change = focal_losses(
            predictions, logits_for(predictions, gt.labels), self.alpha, self.gamma
        )
        cost = change.add_(background[:, None])
        least = torch.finfo(iou.dtype).eps
        cost.sub_(iou.clamp(min=least).log_(), alpha=self.iou_weight)
        # Double before the penalty: beside it, float32 would forget what else a pair costs.
        cost = _finite(cost).double().add_(~allowed, alpha=FORBIDDEN)
        best = iou.mul_(allowed).topk(min(self.topk, len(priors))).values
        supply = best.sum(dim=-1).floor_().clamp_(min=1).mul_(gt.valid)
        return cost, _finite(background).double(), supply.double()


def _finite(cost: Tensor) -> Tensor:
    return cost.nan_to_num(NON_FINITE_COST, NON_FINITE_COST, NON_FINITE_COST)
