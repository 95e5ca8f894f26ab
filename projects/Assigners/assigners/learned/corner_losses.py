"""What corners are trained with beside their classes: where they are, and which belong together."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from onenet import Assignment, GroundTruth, Priors
from onenet.criterion import Loss
from onenet.geometry import gather_samples
from onenet.structures import CornerPredictions
from torch import Tensor


class EmbeddingLoss(Loss):
    """``loss_pull`` and ``loss_push``, by which the corners of an object know each other.

    ``loss_pull`` is what the two embeddings of an object differ from their mean, squared and
    summed. ``loss_push`` asks that the means of two objects of an image differ by at least 1; an
    object's part is the mean over the other objects.

    Source: CornerNet, section 3.3; mmdetection ``AssociativeEmbeddingLoss``. Of a batch of one
    image both are what mmdetection has. The official code gives a push loss of 1, without a
    gradient, to an image with one object. Both codes divide by the objects of each image, which
    makes objects of full images lighter; here all objects of the batch count alike.
    """

    def __init__(self, *, pull_weight: float = 0.1, push_weight: float = 0.1):
        """
        Args:
            pull_weight, push_weight: factors of the two losses.
        """
        super().__init__()
        self.pull_weight = pull_weight
        self.push_weight = push_weight

    def forward(
        self,
        priors: Priors,
        predictions: CornerPredictions,
        assignment: Assignment,
        gt: GroundTruth,
        normalizer: Tensor,
    ) -> dict[str, Tensor]:
        embedding = gather_samples(predictions.embedding, assignment.sample)
        first, second = embedding.chunk(2, dim=1)
        used = assignment.positive.chunk(2, dim=1)[0].float()
        mean = (first + second) / 2
        pull = ((first - mean).square() + (second - mean).square()) * used

        near = F.relu(1 - (mean[:, :, None] - mean[:, None]).abs()) * used[:, None]
        itself = torch.eye(near.shape[1], dtype=torch.bool, device=near.device)
        others = (used.sum(dim=1, keepdim=True) - 1).clamp(min=1)
        push = near.masked_fill(itself, 0).sum(dim=2) * used / others
        return {
            "loss_pull": pull.sum() * (self.pull_weight / normalizer),
            "loss_push": push.sum() * (self.push_weight / normalizer),
        }


class OffsetLoss(Loss):
    """``loss_offset``: where in its cell a corner is, smooth L1, the mean over both corners.

    Source: CornerNet, section 3.2. Where several objects have a corner in one cell, the reference
    trains the offset of the last one; here it is trained towards each.
    """

    def __init__(self, *, weight: float = 1.0):
        """
        Args:
            weight: factor of the loss.
        """
        super().__init__()
        self.weight = weight

    def forward(
        self,
        priors: Priors,
        predictions: CornerPredictions,
        assignment: Assignment,
        gt: GroundTruth,
        normalizer: Tensor,
    ) -> dict[str, Tensor]:
        predicted = gather_samples(predictions.offset, assignment.sample)
        corners = torch.cat(gt.boxes.split(2, dim=-1), dim=1)
        cells = (priors.points / priors.stride[:, None]).floor()[assignment.sample]
        targets = corners / priors.stride[assignment.sample][..., None] - cells
        loss = F.smooth_l1_loss(predicted, targets, reduction="none").sum(dim=-1)
        loss = (loss * assignment.positive).sum() / 2
        return {"loss_offset": loss * (self.weight / normalizer)}
