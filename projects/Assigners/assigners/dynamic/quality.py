"""How well a prediction would serve a ground truth."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from onenet import GroundTruth, Predictions, Priors
from onenet.assignment.overlaps import pairwise_iou
from onenet.assignment.pieces import piece_size
from onenet.geometry import depth_inside, distance_to_centers, elementwise_iou
from torch import Tensor


def detection_scores(predictions: Predictions) -> Tensor:
    """(B, R, K) what inference ranks by: sigmoid(class), times sigmoid(quality) if there is one."""
    scores = predictions.logits.float().sigmoid()
    if predictions.quality is None:
        return scores
    return scores * predictions.quality.float().sigmoid()[..., None]


def logits_for(predictions: Predictions, labels: Tensor) -> Tensor:
    """(B, G, R) the logit of every sample for the class (B, G) of every ground truth."""
    batch, num_samples, num_classes = predictions.logits.shape
    first = torch.arange(batch, device=labels.device)[:, None] * num_classes
    rows = predictions.logits.transpose(1, 2).flatten(0, 1)
    picked = rows.index_select(0, (first + labels).flatten())
    return picked.float().view(*labels.shape, num_samples)


def scores_for(predictions: Predictions, labels: Tensor) -> Tensor:
    """(B, G, R) the detection score of every sample for the class (B, G) of every ground truth."""
    scores = logits_for(predictions, labels).sigmoid_()
    if predictions.quality is None:
        return scores
    return scores * predictions.quality.float().sigmoid()[:, None]


def focal_losses(
    predictions: Predictions, at_labels: Tensor, alpha: float, gamma: float
) -> tuple[Tensor, Tensor]:
    """The focal loss of samples, all classes together, as background and with a label.

    Args:
        predictions: of R samples.
        at_labels: (...) some of their logits, those of the classes of ground truths.
        alpha, gamma: of the loss.

    Returns:
        (B, R) the loss as background, and (...) what it changes by if the label is that class.
    """

    def focal(logits: Tensor) -> Tensor:
        """Of another class, but for its factor; that of the class itself has the other sign."""
        return logits.sigmoid().pow_(gamma).mul_(F.softplus(logits))

    batch, _, num_classes = predictions.logits.shape
    step = piece_size(0, batch * num_classes, at_labels.device)
    parts = predictions.logits.float().mT.split(step, dim=-1)
    background = torch.cat([focal(part).sum(dim=1) for part in parts], dim=-1).mul_(1 - alpha)
    change = focal(-at_labels).mul_(alpha).sub_(focal(at_labels), alpha=1 - alpha)
    return background, change


def score_and_overlap(predictions: Predictions, gt: GroundTruth, alpha: float) -> Tensor:
    """``score^(1 - alpha) * IoU^alpha`` of every pair, the quality of POTO.

    Source: DeFCN (Wang et al., CVPR 2021), section 3.

    Returns:
        (B, G, R) in [0, 1]; 0 where a prediction is not finite.
    """
    iou = elementwise_iou(predictions.boxes.float()[:, None], gt.boxes[:, :, None])
    quality = scores_for(predictions, gt.labels).pow_(1 - alpha).mul_(iou.pow_(alpha))
    return quality.nan_to_num_(0)


def quality_terms(
    priors: Priors, predictions: Predictions, gt: GroundTruth, alpha: float
) -> dict[str, Tensor]:
    """What POTO's quality is made of, and where samples lie, by name, each (B, G, R)."""
    return {
        "score": scores_for(predictions, gt.labels),
        "IoU": pairwise_iou(predictions.boxes.float(), gt),
        "quality": score_and_overlap(predictions, gt, alpha),
        **place_terms(priors, gt),
    }


def place_terms(priors: Priors, gt: GroundTruth) -> dict[str, Tensor]:
    """Where samples lie in objects, by name, each (B, G, R)."""
    distance = distance_to_centers(priors.points, gt.boxes)
    return {
        "distance from the centre (strides)": distance / priors.stride,
        "depth in the object (px)": depth_inside(priors.points, gt.boxes),
    }
