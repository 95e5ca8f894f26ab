"""From an assignment to the losses of a training step."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.distributed as dist
from detectron2.config import configurable
from detectron2.utils import comm
from torch import Tensor, nn

from .losses import box_losses, classification_loss, quality_loss
from .structures import Assignment, GroundTruth, Predictions, Priors


class Criterion(nn.Module):
    """The losses of OneNet, whoever made the assignment.

    Sigmoid focal loss over all samples and classes, GIoU and normalised L1 loss over the pairs, and
    binary cross-entropy of the quality branch where the head has one. Each is a sum over the batch
    divided by the normaliser. Source: OneNet, section 3.3; the quality loss is that of FCOS.
    """

    @configurable
    def __init__(
        self,
        *,
        class_weight: float = 2.0,
        l1_weight: float = 5.0,
        giou_weight: float = 2.0,
        quality_weight: float = 1.0,
        alpha: float = 0.25,
        gamma: float = 2.0,
    ):
        """
        Args:
            class_weight, l1_weight, giou_weight, quality_weight: factors of the losses.
            alpha, gamma: of the focal loss.
        """
        super().__init__()
        self.class_weight = class_weight
        self.l1_weight = l1_weight
        self.giou_weight = giou_weight
        self.quality_weight = quality_weight
        self.alpha = alpha
        self.gamma = gamma
        # Replaced while a step's batch comes in several parts, which have a common denominator.
        self.normalizer: Callable[[Assignment, GroundTruth], Tensor] = global_normalizer

    @classmethod
    def from_config(cls, cfg):
        onenet = cfg.MODEL.OneNet
        return {
            "class_weight": onenet.CLASS_WEIGHT,
            "l1_weight": onenet.L1_WEIGHT,
            "giou_weight": onenet.GIOU_WEIGHT,
            "quality_weight": onenet.CENTERNESS_WEIGHT,
            "alpha": onenet.ALPHA,
            "gamma": onenet.GAMMA,
        }

    def forward(
        self,
        predictions: Predictions,
        assignment: Assignment,
        gt: GroundTruth,
        priors: Priors | None = None,
    ) -> dict[str, Tensor]:
        """Weighted losses: ``loss_ce``, ``loss_giou``, ``loss_bbox`` and, with a quality branch,
        ``loss_quality`` (this one needs ``priors``), each () float32.
        """
        normalizer = self.normalizer(assignment, gt)
        loss_ce = classification_loss(predictions, assignment, gt, self.alpha, self.gamma)
        loss_giou, loss_l1 = box_losses(predictions, assignment, gt)
        losses = {
            "loss_ce": loss_ce * (self.class_weight / normalizer),
            "loss_giou": loss_giou * (self.giou_weight / normalizer),
            "loss_bbox": loss_l1 * (self.l1_weight / normalizer),
        }
        if predictions.quality is not None:
            loss = quality_loss(predictions, assignment, gt, priors)
            losses["loss_quality"] = loss * (self.quality_weight / normalizer)
        return losses


@torch.no_grad()
def global_normalizer(assignment: Assignment, gt: GroundTruth) -> Tensor:
    """Denominator of the losses, the same on every process.

    Returns:
        () float32, see :func:`share_of_all`.
    """
    return share_of_all(local_normalizer(assignment, gt))


@torch.no_grad()
def local_normalizer(assignment: Assignment, gt: GroundTruth) -> Tensor:
    """What the images of this process add to the denominator.

    Returns:
        () float32.
    """
    local = assignment.normalizer if assignment.normalizer is not None else gt.valid.sum()
    return local.float()


def share_of_all(local: Tensor) -> Tensor:
    """From what each process adds to the denominator to the denominator itself.

    It is that of the whole batch, at least 1, divided by the number of processes: gradients are
    averaged over processes, and so N processes train exactly as one does with the whole batch.
    (The reference clamps after the division, which differs where the batch has hardly any object.)

    Args:
        local: any shape, float32.

    Returns:
        The same shape, the same numbers on every process.
    """
    total = local
    if comm.get_world_size() > 1:
        total = local.clone()
        dist.all_reduce(total)
    return total.clamp(min=1) / comm.get_world_size()
