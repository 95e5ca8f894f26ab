"""Points in the middle of an object, on all levels, weighted by where they are."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from fvcore.nn import sigmoid_focal_loss
from onenet import Assigner, Assignment, GroundTruth, Predictions, Priors
from onenet.assignment import Condition, Explanation
from onenet.assignment.levels import level_slices
from onenet.assignment.pieces import check_max_pairs, piece_size
from onenet.criterion.quality_losses import centerness
from onenet.errors import ConfigError
from onenet.geometry import box_area, box_centers, gather_samples
from torch import Tensor

from ..conflicts import contest

ALPHA, GAMMA = 0.25, 2.0  # of the focal loss that levels are compared by
EPS = 1e-7  # added to intersection and union, in squares of 4 strides


class SoftPoints(Assigner):
    """Positive are the cells of a shrunk ground truth, on each level with the level's weight.

    1. The region of a ground truth on a level is its box, shrunk about its centre, in whole cells:
       rounded outwards, cut to the grid, and at least one cell. Of several ground truths of a cell
       the smallest has it (measured from the cell, which may lie outside); of equal ones the first.
    2. A positive sample weighs the square of its centerness, min(l, r) min(t, b) / (max(l, r)
       max(t, b)), times the weight of the level for the ground truth. One of weight 0 is ignored.
    3. Where nobody gives the weights, the level with the least loss has 1 and the others 0. The
       loss of a level is the mean over its region of the focal loss and -log IoU.

    Source: SAPD (Zhu et al., ECCV 2020), sections 3.2 and 3.3; what the paper leaves open, as in
    the Keras implementation of xuannianz.
    """

    def __init__(self, *, shrink: float = 0.2, max_pairs: int = 0):
        """
        Args:
            shrink: side of the shrunk box, in sides of the ground truth.
            max_pairs: at most this many (sample, ground truth) pairs are in memory at once. The
                result does not depend on it; 0 = by device.

        Raises:
            ConfigError: a factor that shrinks nothing.
        """
        super().__init__()
        if not 0 <= shrink <= 1:
            raise ConfigError(f"MODEL.OneNet.ASSIGNER.SAPD.SHRINK must be in [0, 1], got {shrink}.")
        self.shrink = shrink
        self.max_pairs = check_max_pairs(max_pairs)

    @torch.no_grad()
    def forward(
        self,
        priors: Priors,
        predictions: Predictions,
        gt: GroundTruth,
        level_weights: Tensor | None = None,
    ) -> Assignment:
        """Assign the samples; see :class:`Assigner`.

        Args:
            priors, predictions, gt: as for any assigner.
            level_weights: (B, G, L) in [0, 1]; None = by step 3.
        """
        if level_weights is None:
            level_weights = one_hot(self.level_losses(priors, predictions, gt))
        index, positive = self._smallest(priors, gt)
        num_levels = level_weights.shape[-1]
        of_level = level_weights.flatten(1).gather(1, index * num_levels + priors.level)
        centrality = _centrality(priors, gather_samples(gt.boxes, index))
        weight = (centrality * of_level).masked_fill(~positive, 0)
        return Assignment(
            sample=torch.arange(len(priors), device=index.device).expand_as(index),
            gt=index,
            weight=weight,
            score=torch.ones_like(weight),
            cls_weight=weight.masked_fill(~positive, 1)[..., None],
            normalizer=weight.sum(),
            num_samples=len(priors),
        )

    @torch.no_grad()
    def explain(
        self,
        priors: Priors,
        predictions: Predictions,
        gt: GroundTruth,
        level_weights: Tensor | None = None,
    ) -> Explanation:
        losses = self.level_losses(priors, predictions, gt)
        level_weights = one_hot(losses) if level_weights is None else level_weights
        area, inside = (
            torch.cat(parts, -1) for parts in zip(*self._areas(priors, gt), strict=True)
        )
        centrality = _centrality(priors, gt.boxes[:, :, None])
        of_level = level_weights[..., priors.level]
        weight = centrality * of_level
        region = Condition("in a cell of the shrunk object", inside)
        smallest = contest("the smallest object of the cell", -area, inside, "px²")
        weightless = inside & smallest.passed & (weight == 0)
        quantities = {
            "squared centerness": centrality,
            "loss of the level": losses[..., priors.level],
            "weight of the level": of_level,
            "weight": weight,
        }
        conditions = [region, smallest, Condition("a weight above 0", weight > 0, weight)]
        ignored = [Condition("of weight 0 in the object that has the cell", weightless)]
        return Explanation.of(gt, len(priors), quantities, conditions, ignored)

    def regions(self, boxes: Tensor, stride: Tensor, shape: tuple[int, int]) -> Tensor:
        """Step 1: cells x1, y1, x2, y2 (B, G, 4) of boxes on a level, the last two excluded."""
        half = (boxes[..., 2:] - boxes[..., :2]) * (self.shrink / 2)
        center = box_centers(boxes)
        low = ((center - half) / stride).floor().unbind(-1)
        high = ((center + half) / stride).ceil().unbind(-1)
        high = [x.clamp(1, size) for x, size in zip(high, reversed(shape), strict=True)]
        low = [torch.minimum(x.clamp(min=0), end - 1) for x, end in zip(low, high, strict=True)]
        return torch.stack([*low, *high], dim=-1)

    def _pieces(self, priors: Priors, gt: GroundTruth) -> Iterator[tuple[int, slice, Tensor]]:
        """Consecutive samples of a level, with (B, G, r) bool: in which regions they are."""
        step = piece_size(self.max_pairs, gt.labels.numel(), gt.labels.device)
        for level, samples in enumerate(level_slices(priors)):
            stride = priors.stride[samples.start]
            regions = self.regions(gt.boxes, stride, priors.shapes[level])
            x1, y1, x2, y2 = regions[..., None].unbind(-2)
            for start in range(samples.start, samples.stop, step):
                piece = slice(start, min(start + step, samples.stop))
                x, y = (priors.points[piece] / stride).floor().unbind(-1)
                inside = (x >= x1) & (x < x2) & (y >= y1) & (y < y2)
                yield level, piece, inside & gt.valid[..., None]

    def _areas(self, priors: Priors, gt: GroundTruth) -> Iterator[tuple[Tensor, Tensor]]:
        """What decides between ground truths (B, G, r), and in which regions samples are."""
        for _, piece, inside in self._pieces(priors, gt):
            yield box_area(_reaching(gt.boxes, priors.points[piece])), inside

    def _smallest(self, priors: Priors, gt: GroundTruth) -> tuple[Tensor, Tensor]:
        """Ground truth (B, R) int64 of each sample, and whether it is in the region of any."""
        areas = self._areas(priors, gt)
        found = [area.masked_fill_(~inside, torch.inf).min(dim=1) for area, inside in areas]
        area, index = (torch.cat(parts, dim=1) for parts in zip(*found, strict=True))
        return index, area.isfinite()

    @torch.no_grad()
    def level_losses(self, priors: Priors, predictions: Predictions, gt: GroundTruth) -> Tensor:
        """(B, G, L), what a ground truth would cost on each level, for its class and box."""
        shape = *gt.labels.shape, len(priors.level_sizes)
        total, count = gt.boxes.new_zeros(shape), gt.boxes.new_zeros(shape)
        for level, piece, inside in self._pieces(priors, gt):
            boxes = predictions.boxes[:, None, piece]
            loss = _class_losses(predictions.logits[:, piece], gt.labels)
            reaching = _reaching(gt.boxes, priors.points[piece])
            loss -= _log_iou(boxes, reaching, EPS * (4 * priors.stride[piece.start]) ** 2)
            total[..., level] += loss.masked_fill_(~inside, 0).sum(dim=-1)
            count[..., level] += inside.sum(dim=-1)
        return total / count.clamp(min=1)


def one_hot(losses: Tensor) -> Tensor:
    """1 where the losses (..., L) of the levels are least, of equal ones at the first, else 0."""
    return torch.zeros_like(losses).scatter(-1, losses.argmin(dim=-1, keepdim=True), 1)


def _centrality(priors: Priors, boxes: Tensor) -> Tensor:
    """(..., R), the squared centerness of the points in boxes (..., R or 1, 4)."""
    return centerness(priors.points, boxes).square()


def _reaching(boxes: Tensor, points: Tensor) -> Tensor:
    """(B, G, r, 4), each box (B, G, 4) as large as it must be to hold each point (r, 2)."""
    low = torch.minimum(boxes[:, :, None, :2], points)
    return torch.cat([low, torch.maximum(boxes[:, :, None, 2:], points)], dim=-1)


def _class_losses(logits: Tensor, labels: Tensor) -> Tensor:
    """(B, G, r), the focal loss of all classes (B, r, K) with the label (B, G) as the target."""

    def focal(x: Tensor, target: Tensor) -> Tensor:
        return sigmoid_focal_loss(x, target, ALPHA, GAMMA, reduction="none")

    background = focal(logits, torch.zeros_like(logits)).sum(dim=-1)
    image = torch.arange(len(labels), device=labels.device)[:, None]
    own = logits.transpose(1, 2)[image, labels]
    zero = torch.zeros_like(own)
    return focal(own, zero + 1) - focal(own, zero) + background[:, None]


def _log_iou(boxes: Tensor, others: Tensor, eps: Tensor) -> Tensor:
    low = torch.maximum(boxes[..., :2], others[..., :2])
    inner = box_area(torch.cat([low, torch.minimum(boxes[..., 2:], others[..., 2:])], dim=-1))
    union = box_area(boxes) + box_area(others) - inner
    return ((inner + eps) / (union + eps)).log()
