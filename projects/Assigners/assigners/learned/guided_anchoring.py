"""Anchors whose places and shapes are learnt."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from detectron2.config import configurable
from fvcore.nn import sigmoid_focal_loss
from onenet import Assigner, Assignment, Criterion, GroundTruth, Predictions, Priors
from onenet.assignment import Explanation
from onenet.assignment.subsampling import inside_regions
from onenet.criterion import (
    CRITERION_REGISTRY,
    BoundedIoULoss,
    build_losses,
    build_subsamplers,
)
from onenet.criterion.base import Loss
from onenet.criterion.criterion import without_autocast
from onenet.errors import ConfigError
from torch import Tensor

from ..settings import rule_settings
from ..static import ApproxMaxIoU, MaxIoU
from .object_regions import ObjectRegions

NEGATIVE_WEIGHT = 0.1
CELLS_EACH = 200  # the location loss is divided by the number of cells over this
# An object takes its best anchor even so, but not each one that it does not overlap at all.
MIN_POS_IOU = 1e-6


@CRITERION_REGISTRY.register()
class GuidedAnchoring(Criterion):
    """The rule :class:`MaxIoU` for predicted anchors, and the losses that these learn from.

    ``loss_loc``, a focal loss, teaches the head where objects are (:class:`ObjectRegions`), and
    ``loss_shape``, a bounded IoU loss, the shape of the anchors that ``shapes`` gives to an object.
    Classes and boxes have the losses of the config, at the samples whose anchors, as they are now,
    overlap an object enough.

    Source: Guided Anchoring (Wang et al., CVPR 2019), section 3, with thresholds of mmdetection's
    GA-RetinaNet. Deviations: mmdetection's location loss takes target 1 for "no class" and so
    learns the opposite, which is not copied; all samples train the shapes instead of 256 at random.
    """

    @configurable
    def __init__(
        self,
        *,
        losses: Iterable[Loss],
        shapes: Assigner,
        center_ratio: float = 0.2,
        ignore_ratio: float = 0.5,
        conflicts: str = "center",
        location_weight: float = 1.0,
        shape_weight: float = 1.0,
        pos_iou: float = 0.5,
        neg_iou: float = 0.5,
        max_pairs: int = 0,
        **options: Any,
    ):
        """
        Args:
            losses: of classes, boxes and quality.
            shapes: says which anchors learn the shape of which object.
            center_ratio, ignore_ratio, conflicts: see :class:`ObjectRegions`.
            location_weight, shape_weight: factors of ``loss_loc`` and ``loss_shape``.
            pos_iou, neg_iou, max_pairs: see :class:`MaxIoU`.
            options: see :class:`onenet.Criterion`.

        Raises:
            ConfigError: a value out of its range.
        """
        assigner = MaxIoU(
            pos_iou=pos_iou, neg_iou=neg_iou, min_pos_iou=MIN_POS_IOU, max_pairs=max_pairs
        )
        super().__init__(assigner=assigner, losses=losses, **options)
        self.shapes = shapes
        self.regions = ObjectRegions(center_ratio, ignore_ratio, conflicts, max_pairs)
        self.location_weight = location_weight
        self.shape_loss = BoundedIoULoss(weight=shape_weight)

    @classmethod
    def from_config(cls, cfg):
        if cfg.MODEL.OneNet.HEAD == "CenterNet":
            raise ConfigError(
                'MODEL.OneNet.ASSIGNER.NAME "GuidedAnchoring" is for anchors on the levels of a '
                'pyramid, and MODEL.OneNet.HEAD "CenterNet" has one level: set MODEL.OneNet.HEAD '
                "FCOS."
            )
        return {
            "losses": build_losses(cfg),
            "subsamplers": build_subsamplers(cfg),
            "shapes": ApproxMaxIoU(cfg),
            **rule_settings(cfg, "GUIDED_ANCHORING"),
        }

    def assign(self, priors: Priors, predictions: Predictions, gt: GroundTruth) -> Assignment:
        return super().assign(with_anchors(priors, predictions), predictions, gt)

    def explain(self, priors: Priors, predictions: Predictions, gt: GroundTruth) -> Explanation:
        explanation = super().explain(with_anchors(priors, predictions), predictions, gt)
        location = predictions.anchors.location.detach().float().sigmoid()[:, None]
        positive, negative = (x[:, None].float() for x in self.regions(priors, gt))
        return explanation.add(
            {
                "score of the location": location,
                "target of the location": positive,
                "weight of the location": positive + NEGATIVE_WEIGHT * negative,
            }
        )

    def weigh(
        self, priors: Priors, predictions: Predictions, gt: GroundTruth, assignment: Assignment
    ) -> dict[str, Tensor]:
        return super().weigh(with_anchors(priors, predictions), predictions, gt, assignment)

    def forward(
        self,
        priors: Priors,
        predictions: Predictions,
        gt: GroundTruth,
        features: Sequence[Tensor] = (),
    ) -> dict[str, Tensor]:
        losses = super().forward(priors, predictions, gt, features)
        predictions = predictions.float()
        with without_autocast(predictions.logits.device):
            guide = {
                "loss_loc": self.loss_of_locations(priors, predictions, gt),
                "loss_shape": self.loss_of_shapes(priors, predictions, gt),
            }
        return {**losses, **self._weighted(guide)}

    def loss_of_locations(
        self, priors: Priors, predictions: Predictions, gt: GroundTruth
    ) -> Tensor:
        """How far the locations () are from the regions of the objects."""
        anchors = predictions.anchors
        positive, negative = self.regions(priors, gt)
        if gt.ignore_boxes is not None:
            negative = negative & ~inside_regions(anchors.boxes.detach(), gt.ignore_boxes)
        loss = sigmoid_focal_loss(anchors.location, positive.float(), alpha=0.25, gamma=2)
        loss = (loss * (positive + NEGATIVE_WEIGHT * negative)).sum()
        cells = loss.new_full((), positive.numel() / CELLS_EACH)
        return loss * (self.location_weight / self.normalizer.of(cells))

    def loss_of_shapes(self, priors: Priors, predictions: Predictions, gt: GroundTruth) -> Tensor:
        """How far the anchors () are from the objects that they are for."""
        assignment = self.shapes(priors, predictions, gt)
        anchors = replace(predictions, boxes=predictions.anchors.boxes)
        normalizer = self.normalizer(assignment, gt)
        (loss,) = self.shape_loss(priors, anchors, assignment, gt, normalizer).values()
        return loss


def with_anchors(priors: Priors, predictions: Predictions) -> Priors:
    """The samples with the anchors of each image as prior boxes, (B, R, 4).

    Raises:
        ConfigError: the head predicts none.
    """
    if predictions.anchors is None:
        raise ConfigError(
            "GuidedAnchoring needs a head that predicts anchors, and that of this model does not: "
            'build the model with MODEL.OneNet.ASSIGNER.NAME "GuidedAnchoring".'
        )
    return replace(priors, boxes=predictions.anchors.boxes.detach().float())
