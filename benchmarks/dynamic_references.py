"""Rules that look at predictions, one image and object at a time like the original codes."""

from __future__ import annotations

import numpy as np
import torch
from fvcore.nn import giou_loss, sigmoid_focal_loss
from onenet import GroundTruth, Predictions, Priors
from sklearn.mixture import GaussianMixture
from torch import Tensor
from torchvision.ops import box_iou


def ota_loop(priors: Priors, predictions: Predictions, gt: GroundTruth) -> list[Tensor]:
    """OTA with logarithms, one image at a time.

    Returns:
        (R,) int64 an image: ground truth, or -1.
    """
    images = zip(predictions.logits, predictions.boxes, gt.boxes, gt.labels, strict=True)
    return [_ota_image(priors, *image) for image in images]


def _ota_image(
    priors: Priors, logits: Tensor, boxes: Tensor, gt_boxes: Tensor, labels: Tensor
) -> Tensor:
    objects, classes = len(gt_boxes), logits.shape[1]
    target = torch.nn.functional.one_hot(labels, classes).float()[:, None]
    cost = _focal(logits.expand(objects, -1, -1), target.expand(-1, len(logits), -1)).sum(dim=-1)
    iou = box_iou(gt_boxes, boxes)
    points, reach = priors.points[None], priors.stride[None, :, None] * 2.5
    center = (gt_boxes[:, None, :2] + gt_boxes[:, None, 2:]) / 2
    sides = torch.cat([points - gt_boxes[:, None, :2], gt_boxes[:, None, 2:] - points], dim=-1)
    allowed = (sides.amin(dim=-1) > 0.01) & ((points - center).abs() < reach).all(dim=-1)
    cost = cost - 1.5 * iou.clamp(min=1e-7).log() + 1e6 * ~allowed
    background = _focal(logits, torch.zeros_like(logits)).sum(dim=-1)
    cost = torch.cat([cost, background[None]])
    supply = (iou * allowed).topk(20).values.sum(dim=1).int().clamp(min=1)
    supply = torch.cat([supply, len(logits) - supply.sum()[None]]).float()
    u, v = torch.ones_like(supply), torch.ones_like(background)
    for _ in range(50):
        v = 0.1 * (np.log(1 + 1e-8) - torch.logsumexp(_scaled(cost, u, v), dim=0)) + v
        u = 0.1 * ((supply + 1e-8).log() - torch.logsumexp(_scaled(cost, u, v), dim=1)) + u
    plan = _scaled(cost, u, v).exp()
    owner = (plan / plan.amax(dim=1, keepdim=True)).argmax(dim=0)
    return torch.where(owner == objects, -1, owner)


def _scaled(cost: Tensor, u: Tensor, v: Tensor) -> Tensor:
    return (u[:, None] + v - cost) / 0.1


def _focal(logits: Tensor, target: Tensor) -> Tensor:
    return sigmoid_focal_loss(logits, target, alpha=0.25, gamma=2.0, reduction="none")


def paa_loop(priors: Priors, predictions: Predictions, gt: GroundTruth) -> list[Tensor]:
    """PAA with a mixture of scikit-learn for each object.

    Returns:
        (R,) bool an image, the positives.
    """
    images = zip(predictions.logits, predictions.boxes, gt.boxes, gt.labels, strict=True)
    return [_paa_image(priors, *image) for image in images]


def _paa_image(
    priors: Priors, logits: Tensor, boxes: Tensor, gt_boxes: Tensor, labels: Tensor
) -> Tensor:
    owner = _paa_candidates(priors.boxes, gt_boxes)
    candidate = (owner >= 0).nonzero()[:, 0]
    mine = owner[candidate]
    target = torch.nn.functional.one_hot(labels[mine], logits.shape[1]).float()
    giou = giou_loss(boxes[candidate], gt_boxes[mine], reduction="none", eps=0)
    loss = torch.zeros(len(logits), device=logits.device)
    loss[candidate] = _focal(logits[candidate], target).sum(dim=-1) + 1.3 * giou
    positive = torch.zeros(len(logits), dtype=torch.bool, device=logits.device)
    for index in range(len(gt_boxes)):
        chosen = []
        for level in range(len(priors.level_sizes)):
            sample = ((owner == index) & (priors.level == level)).nonzero()[:, 0]
            chosen.append(sample[loss[sample].topk(min(9, len(sample)), largest=False).indices])
        sample = torch.cat(chosen)
        if len(sample) > 1:
            sample = sample[loss[sample].argsort()]
            sample = sample[: _number_of_positives(loss[sample].cpu().numpy())]
        positive[sample] = True
    return positive


def _paa_candidates(priors: Tensor, gt_boxes: Tensor) -> Tensor:
    """(R,) the object that a prior box overlaps most, by 0.1 or as no other does; else -1."""
    iou = box_iou(gt_boxes, priors)
    overlap, owner = iou.max(dim=0)
    owner[overlap < 0.1] = -1
    for index, best in enumerate(iou.amax(dim=1)):
        owner[iou[index] == best] = index
    return owner


def _number_of_positives(loss: np.ndarray) -> int:
    values = loss.astype(np.float64)[:, None]
    mixture = GaussianMixture(
        2,
        means_init=values[[0, -1]],
        weights_init=[0.5, 0.5],
        precisions_init=np.ones((2, 1, 1)),
    ).fit(values)
    low = mixture.predict(values) == 0
    if not low.any():
        return len(values)
    return int(np.where(low, mixture.score_samples(values), -np.inf).argmax()) + 1


def yolov3_loop(priors: Priors, predictions: Predictions, gt: GroundTruth) -> list[Tensor]:
    """YOLOv3, object by object.

    Returns:
        (R,) int64 an image: ground truth, -1 negative, -2 ignored.
    """
    starts = np.cumsum([0, *priors.level_sizes[:-1]])
    shapes = torch.cat([priors.boxes[s : s + priors.anchors] for s in starts])
    shapes = shapes[:, 2:] - shapes[:, :2]
    result = []
    for boxes, gt_boxes in zip(predictions.boxes, gt.boxes, strict=True):
        dense = torch.where(box_iou(boxes, gt_boxes).amax(dim=1) > 0.7, -2, -1)
        for index, box in enumerate(gt_boxes):
            size, center = box[2:] - box[:2], (box[:2] + box[2:]) / 2
            overlap = torch.minimum(shapes, size).prod(dim=1)
            best = int((overlap / (shapes.prod(dim=1) + size.prod() - overlap)).argmax())
            level, anchor = divmod(best, priors.anchors)
            height, width = priors.shapes[level]
            cell = (center / priors.stride[starts[level]]).floor().long().tolist()
            column, row = min(cell[0], width - 1), min(cell[1], height - 1)
            dense[starts[level] + (row * width + column) * priors.anchors + anchor] = index
        result.append(dense)
    return result
