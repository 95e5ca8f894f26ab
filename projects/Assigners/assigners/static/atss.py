"""Adaptive training sample selection."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from detectron2.config import configurable
from onenet import ASSIGNER_REGISTRY, Assigner, Assignment, GroundTruth, Predictions, Priors
from onenet.assignment import Condition, Explanation
from onenet.assignment.levels import level_slices
from onenet.assignment.pieces import check_max_pairs, piece_size
from onenet.errors import ConfigError
from onenet.geometry import box_centers, elementwise_iou_giou, encode_ltrb
from torch import Tensor

from ..conflicts import contest, highest_taker
from ..dense import dense_assignment
from ..settings import rule_settings

# A centre nearer to the border than this (pixels) does not count as inside; the reference's number.
INSIDE_EPS = 0.01


@ASSIGNER_REGISTRY.register()
class ATSS(Assigner):
    """Adaptive training sample selection: each ground truth sets its own IoU threshold.

    1. On every level, the ``topk`` samples whose centres are nearest to the centre of the ground
       truth are its candidates; all of them where a level has fewer.
    2. Its threshold is the mean plus the standard deviation of their IoUs with it.
    3. Candidates with at least that IoU whose centre lies inside the ground truth are positive.
    4. A sample that is positive for several ground truths keeps the one with the highest IoU; of
       equal ones, the one with the lowest index.

    Source: ATSS (Zhang et al., CVPR 2020), algorithm 1; the reference numbers are those of
    mmdetection's ``ATSSAssigner``. As in the official code, a location with several anchors counts
    as one of the ``topk``, and all its anchors are candidates.

    On a single level the rule stays well defined, though it no longer chooses a level: the
    candidates are the ``topk`` cells around the centre, whose prior boxes are all of one size, and
    the threshold keeps the most central of them.

    Deviation: a single candidate has a standard deviation of 0, not of 0 / 0.
    """

    @configurable
    def __init__(self, *, topk: int = 9, max_pairs: int = 0):
        """Choose how many candidates a ground truth has.

        Args:
            topk: candidate locations of a ground truth on each level.
            max_pairs: at most this many (sample, ground truth) distances are in memory at once, or
                one ground truth's of each image if that is more. The result does not depend on it;
                0 = by device.

        Raises:
            ConfigError: ``topk`` is not positive.
        """
        super().__init__()
        if topk < 1:
            raise ConfigError(f"MODEL.OneNet.ASSIGNER.ATSS.TOPK must be positive, got {topk}.")
        self.topk = topk
        self.max_pairs = check_max_pairs(max_pairs)

    @classmethod
    def from_config(cls, cfg):
        return rule_settings(cfg, "ATSS")

    @torch.no_grad()
    def forward(self, priors: Priors, predictions: Predictions, gt: GroundTruth) -> Assignment:
        sample = self._candidates(priors, gt)
        iou, depth = _iou_and_depth(priors.boxes[sample], priors.points[sample], gt)
        positive = (depth > INSIDE_EPS) & (iou >= _threshold(iou)) & gt.valid[..., None]
        owner = highest_taker(sample, iou, positive, len(priors))
        slots = gt.labels.shape[1]
        return dense_assignment(owner.clamp(max=slots - 1), owner < slots)

    @torch.no_grad()
    def explain(self, priors: Priors, predictions: Predictions, gt: GroundTruth) -> Explanation:
        sample = self._candidates(priors, gt)
        threshold = _threshold(_iou_and_depth(priors.boxes[sample], priors.points[sample], gt)[0])
        iou, depth = _iou_and_depth(priors.boxes, priors.points, gt)
        candidate = torch.zeros_like(iou, dtype=torch.bool).scatter_(2, sample, True)
        enough, inside = iou >= threshold, depth > INSIDE_EPS
        wanted = candidate & enough & inside & gt.valid[..., None]
        distance = (priors.points - box_centers(gt.boxes)[:, :, None]).square().sum(dim=-1).sqrt()
        near = f"one of the {self.topk} nearest locations of its level"
        conditions = [
            Condition(near, candidate, self._reach(distance, candidate, priors) - distance, "px"),
            Condition("IoU of at least the threshold of the object", enough, iou - threshold),
            Condition("inside the object", inside, depth - INSIDE_EPS, "px"),
            contest("the object of the largest IoU that takes it", iou, wanted),
        ]
        quantities = {
            "distance from the centre (px)": distance,
            "IoU": iou,
            "threshold of the IoU": threshold,
            "depth in the object (px)": depth,
        }
        return Explanation.of(gt, len(priors), quantities, conditions)

    def _reach(self, distance: Tensor, candidate: Tensor, priors: Priors) -> Tensor:
        """(B, G, R), the distance of the farthest candidate on the level of each sample."""
        distance = distance.masked_fill(~candidate, 0)
        farthest = [distance[..., level].amax(dim=-1) for level in level_slices(priors)]
        return torch.stack(farthest, dim=-1)[..., priors.level]

    def _candidates(self, priors: Priors, gt: GroundTruth) -> Tensor:
        """Step 1: (B, G, C) int64, the candidates of all levels."""
        centers = box_centers(gt.boxes)
        candidates, count = [], self.topk * priors.anchors
        for level in level_slices(priors):
            points = priors.points[level]
            nearest = nearest_points(points, centers, count, self.max_pairs)
            candidates.append(nearest + level.start)
        return torch.cat(candidates, dim=-1)


def _iou_and_depth(boxes: Tensor, points: Tensor, gt: GroundTruth) -> tuple[Tensor, Tensor]:
    """What steps 2 and 3 compare, each (B, G, n).

    Args:
        boxes, points: (n, 4) and (n, 2) of the same samples for all, or (B, G, n, 4) and (B, G, n,
            2) of those of each ground truth.
        gt: G padded ground truths for each of B images.

    Returns:
        IoU, and how far a point lies inside, in pixels.
    """
    others = gt.boxes[:, :, None]
    iou, _ = elementwise_iou_giou(boxes, others)
    return iou, encode_ltrb(points, others).amin(dim=-1)


def _threshold(iou: Tensor) -> Tensor:
    """Mean plus standard deviation of the last dimension, which is kept."""
    std = iou.std(dim=-1, keepdim=True, correction=min(1, iou.shape[-1] - 1))
    return iou.mean(dim=-1, keepdim=True) + std


def nearest_points(points: Tensor, centers: Tensor, count: int, max_pairs: int) -> Tensor:
    """The points at the least distance from each centre, in no particular order.

    Top-k of a long row is slow, so the points are dealt into groups: the ``count`` nearest are in
    the ``count`` groups whose nearest members are nearest.

    Args:
        points: (n, 2).
        centers: (B, G, 2).
        count: how many; all n if there are fewer.
        max_pairs: how many distances may be in memory at once; 0 = by device.

    Returns:
        (B, G, min(count, n)) int64, indices into the points.
    """
    num_points = len(points)
    group_size = math.isqrt(num_points // count)
    if group_size < 2:
        distance = _squared_distance(points, centers)
        return distance.topk(min(count, num_points), largest=False, sorted=False).indices
    num_groups = -(-num_points // group_size)
    filler = group_size * num_groups - num_points
    points = F.pad(points, (0, 0, 0, filler), value=torch.inf)

    step = piece_size(max_pairs, len(centers) * len(points), points.device)
    least = [
        _squared_distance(points, piece).unflatten(-1, (group_size, num_groups)).amin(dim=2)
        for piece in centers.split(step, dim=1)
    ]
    group = torch.cat(least, dim=1).topk(count, largest=False, sorted=False).indices
    member = torch.arange(0, len(points), num_groups, device=points.device)[:, None]
    index = (group[:, :, None] + member).flatten(2)
    distance = (points[index] - centers[:, :, None]).square_().sum(dim=-1)
    nearest = distance.topk(count, largest=False, sorted=False).indices
    # Where a centre is so far away that all distances are infinite, a filler may be among them.
    return index.gather(2, nearest).clamp_(max=num_points - 1)


def _squared_distance(points: Tensor, centers: Tensor) -> Tensor:
    """(B, G, n) for points (n, 2) and centres (B, G, 2)."""
    x, y = points.t().contiguous()
    center_x, center_y = centers[..., None, :].unbind(-1)
    return (x - center_x).square_().add_((y - center_y).square_())
