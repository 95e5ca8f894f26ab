"""The losses of the official OneNet code, written down as it computes them.

PeizeSun/OneNet, ``loss.py`` and the matcher in it: one image at a time, costs of all classes and
all samples, SciPy on the whole matrix, dense one-hot targets. With ``solver`` "argmin" as the paper
has it. The network is ours.
"""

from __future__ import annotations

import torch
from fvcore.nn import sigmoid_focal_loss
from onenet import GroundTruth, Predictions
from onenet.assignment.costs import LOG_EPS
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torchvision.ops import generalized_box_iou

CLASS, L1, GIOU = 2.0, 5.0, 2.0  # weights of the costs and of the losses
Matches = list[tuple[Tensor, Tensor]]


@torch.no_grad()
def match(predictions: Predictions, gt: GroundTruth, solver: str = "hungarian") -> Matches:
    """Sample and ground truth of each pair, (G,) and (G,) int64 an image."""
    matches = []
    for image in range(len(gt.boxes)):
        labels, targets = gt.labels[image][gt.valid[image]], gt.boxes[image][gt.valid[image]]
        p, boxes = predictions.logits[image].sigmoid(), predictions.boxes[image]
        negative = 0.75 * p**2 * -(1 - p + LOG_EPS).log()
        positive = 0.25 * (1 - p) ** 2 * -(p + LOG_EPS).log()
        scale = gt.scale[image]
        cost = CLASS * (positive[:, labels] - negative[:, labels])
        cost = cost + L1 * torch.cdist(boxes / scale, targets / scale, p=1)
        cost = cost - GIOU * generalized_box_iou(boxes, targets)
        if solver == "hungarian":
            pair = linear_sum_assignment(cost.cpu().numpy())
            sample, slot = (torch.as_tensor(x, device=boxes.device) for x in pair)
        else:
            sample, slot = cost.argmin(dim=0), torch.arange(len(labels), device=boxes.device)
        matches.append((sample, slot))
    return matches


def losses(predictions: Predictions, gt: GroundTruth, matches: Matches) -> dict[str, Tensor]:
    """The weighted losses by name, each ()."""
    image = torch.cat([torch.full_like(sample, i) for i, (sample, _) in enumerate(matches)])
    sample, slot = (torch.cat(x) for x in zip(*matches, strict=True))
    count = torch.as_tensor([len(sample)], dtype=torch.float, device=image.device).clamp(min=1)
    count = count.item()
    classes = predictions.logits.shape[-1]
    target = torch.full(predictions.logits.shape[:2], classes, device=image.device)
    target[image, sample] = gt.labels[image, slot]
    one_hot = torch.zeros(*target.shape, classes + 1, device=image.device)
    one_hot.scatter_(2, target[..., None], 1)
    focal = sigmoid_focal_loss(
        predictions.logits, one_hot[..., :-1], alpha=0.25, gamma=2, reduction="sum"
    )
    boxes, targets = predictions.boxes[image, sample], gt.boxes[image, slot]
    scale = gt.scale[image, 0]
    giou = 1 - generalized_box_iou(boxes, targets).diag()
    return {
        "loss_ce": CLASS * focal / count,
        "loss_giou": GIOU * giou.sum() / count,
        "loss_bbox": L1 * (boxes / scale - targets / scale).abs().sum() / count,
    }
