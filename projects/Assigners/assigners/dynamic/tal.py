"""Task-aligned assignment: the samples that score and fit best."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from detectron2.config import configurable
from onenet import ASSIGNER_REGISTRY, Assigner, Assignment, GroundTruth, Predictions, Priors
from onenet.assignment import Condition, Explanation
from onenet.assignment.explanation import pair_values, ranks
from onenet.assignment.overlaps import PairwiseIoU
from onenet.assignment.pieces import check_max_pairs, pieces
from onenet.assignment.selection import SmallestSoFar
from onenet.errors import ConfigError
from onenet.geometry import (
    box_centers,
    depth_inside,
    elementwise_ciou,
    elementwise_iou,
    encode_ltrb,
    gather_samples,
)
from torch import Tensor

from ..conflicts import ahead, favourite_if_shared, highest_taker, is_owner
from ..dense import dense_assignment
from ..settings import rule_settings
from .quality import detection_scores, scores_for

_YOLO = {"alpha": 0.5, "beta": 6.0, "inside_first": True, "ciou": True, "widen": True}
PRESETS = {
    "tood": {
        "topk": 13,
        "alpha": 1.0,
        "beta": 6.0,
        "inside_first": False,
        "ciou": False,
        "widen": False,
    },
    "yolo": {"topk": 10, **_YOLO},
    "yolo_one": {"topk": 7, **_YOLO, "one_to_one": True},
}
# A point nearer to a side than this (pixels) is outside; the numbers of the two references.
MARGIN_INSIDE_FIRST, MARGIN_INSIDE_LAST = 1e-9, 0.01
# Added to the largest metric of a ground truth before it divides.
METRIC_EPS = 1e-9


@ASSIGNER_REGISTRY.register()
class TAL(Assigner):
    """Task-aligned learning: the ``topk`` samples of largest score^alpha * overlap^beta.

    1. The metric of a pair is ``score^alpha * overlap^beta``, with the detection score for the
       class of the ground truth and the IoU, or complete IoU, of the predicted box, at least 0.
    2. A ground truth takes its ``topk`` samples of largest metric. Their points must lie inside
       of it: of the samples inside (``inside_first``), or else of all, of which it drops those
       outside. A metric of 0 takes nothing; of equal ones the sample of lowest index comes first.
    3. A sample that several have taken goes to the one that it overlaps most: of those that it
       lies inside of (``inside_first``), also of one that has not taken it, or else of the takers.
       Of equal ones the first ground truth has it.
    4. With ``one_to_one`` each ground truth keeps its sample of largest metric alone.
    5. The class target is the metric, scaled so that its largest value is the largest overlap
       among the positives of a ground truth. It weighs the box losses, and its sum divides.

    Source: TOOD (Feng et al., ICCV 2021), section 3.2; numbers and order of the ``tood`` preset as
    in mmdetection's ``TaskAlignedAssigner``, of ``yolo`` (YOLOv8 to YOLO26, one-to-many) and
    ``yolo_one`` (their one-to-one branch) as in ultralytics' of the same name. YOLOv10's one-to-one
    branch is ``yolo`` with ``TOPK 1``. TOOD begins its training with ATSS, which is not here.

    Deviations: with ``inside_first`` the reference fills up with samples of metric 0 from anywhere,
    and where a sample overlaps nobody who wants it, gives it to the first ground truth even if the
    sample lies outside of it. Here neither happens.
    """

    @configurable
    def __init__(
        self,
        *,
        topk: int = 10,
        alpha: float = 0.5,
        beta: float = 6.0,
        inside_first: bool = True,
        ciou: bool = True,
        widen: bool = True,
        one_to_one: bool = False,
        soft_labels: bool = True,
        max_pairs: int = 0,
    ):
        """
        Args:
            topk: samples that a ground truth takes in step 2.
            alpha, beta: exponents of score and overlap.
            inside_first: only samples inside of a ground truth compete for it.
            ciou: the overlap is the complete IoU.
            widen: for the test of what is inside, sides shorter than the stride of the second level
                (of a single one the first) get that length.
            one_to_one: do step 4; one slot a ground truth.
            soft_labels: do step 5; otherwise the class target and the weight of a positive are 1,
                and the number of positives divides.
            max_pairs: at most this many (sample, ground truth) pairs are in memory at once. The
                result does not depend on it; 0 = by device.

        Raises:
            ConfigError: ``topk`` is not positive, or an exponent negative.
        """
        super().__init__()
        if topk < 1:
            raise ConfigError(f"MODEL.OneNet.ASSIGNER.TAL.TOPK must be positive, got {topk}.")
        if alpha < 0 or beta <= 0:
            raise ConfigError(
                "MODEL.OneNet.ASSIGNER.TAL needs ALPHA >= 0 and BETA > 0, "
                f"got ALPHA {alpha} and BETA {beta}."
            )
        self.topk = topk
        self.alpha = alpha
        self.beta = beta
        self.inside_first = inside_first
        self.margin = MARGIN_INSIDE_FIRST if inside_first else MARGIN_INSIDE_LAST
        self.ciou = ciou
        self.widen = widen
        self.one_to_one = one_to_one
        self.soft_labels = soft_labels
        self.max_pairs = check_max_pairs(max_pairs)

    @classmethod
    def from_config(cls, cfg):
        return rule_settings(cfg, "TAL", PRESETS)

    @torch.no_grad()
    def forward(self, priors: Priors, predictions: Predictions, gt: GroundTruth) -> Assignment:
        return self._assignment(self._owners(priors, predictions, gt), predictions, gt)

    @torch.no_grad()
    def explain(self, priors: Priors, predictions: Predictions, gt: GroundTruth) -> Explanation:
        found = self._pairs(priors, predictions, gt)
        found = [(overlap.clone(), metric) for _, _, overlap, metric in found]
        overlap, metric = (torch.cat(values, dim=-1) for values in zip(*found, strict=True))
        depth = depth_inside(priors.points, self._regions(priors, gt.boxes)) - self.margin
        inside, valid = depth > 0, gt.valid[..., None]
        competes = valid & inside if self.inside_first else valid.expand_as(inside)
        rank = ranks(-metric.masked_fill(~competes, 0))
        few = competes & (rank < self.topk) & (metric > 0)
        taken = few & inside
        owner = self._owner_of_all(overlap, competes, taken)
        assignment = self._assignment(owner, predictions, gt)
        mine = is_owner(owner, gt.valid.shape[1])
        where = Condition("inside the object", inside, depth, "px")
        first = Condition(f"one of the {self.topk} largest metrics", few, self.topk - 1 - rank)
        rivals = competes if self.inside_first else taken
        most = Condition(
            "the object that it overlaps most", mine, ahead(overlap, rivals), contest=True
        )
        if self.inside_first:
            first = replace(first, name=first.name + ", or left by others", passed=few | mine)
        conditions = [where, first, most] if self.inside_first else [first, where, most]
        conditions += self._last_condition(assignment, gt, len(priors))
        quantities = {
            "score": scores_for(predictions, gt.labels),
            "overlap": overlap,
            "metric": metric,
            "rank of the metric": rank,
            "class target": pair_values(assignment.score, assignment, gt, len(priors)),
        }
        return Explanation.of(gt, len(priors), quantities, conditions)

    def _owner_of_all(self, overlap: Tensor, competes: Tensor, taken: Tensor) -> Tensor:
        """Step 3 of all pairs (B, G, R): (B, R) int64, as :meth:`_owners`."""
        sample = torch.arange(taken.shape[-1], device=taken.device).expand_as(taken)
        if not self.inside_first:
            return highest_taker(sample, overlap, taken, taken.shape[-1])
        favourite = overlap.masked_fill(~competes, -1).max(dim=1).indices
        return favourite_if_shared(sample, taken, favourite, taken.shape[-1])

    def _last_condition(
        self, assignment: Assignment, gt: GroundTruth, num_samples: int
    ) -> list[Condition]:
        """What steps 4 and 5 ask."""
        if not (self.one_to_one or self.soft_labels):
            return []
        weight = pair_values(assignment.weight, assignment, gt, num_samples)
        name = (
            "the largest metric of those that it keeps" if self.one_to_one else "a target above 0"
        )
        return [Condition(name, weight > 0)]

    def _assignment(self, owner: Tensor, predictions: Predictions, gt: GroundTruth) -> Assignment:
        """Steps 4 and 5, for the ground truth (B, R) of each sample, G where it has none."""
        slots = gt.labels.shape[1]
        positive, index = owner < slots, owner.clamp(max=slots - 1)
        overlap, metric = self._own_metric(predictions, gt, index, positive)
        sample = None
        if self.one_to_one:
            sample = _first_largest(metric, index, positive, slots)
            number = torch.arange(owner.shape[1], device=sample.device)
            positive = positive & (number == sample.gather(1, index))
            overlap, metric = overlap * positive, metric * positive
        assignment = dense_assignment(index, positive)
        if self.soft_labels:
            share = metric / (_largest(metric, index, slots) + METRIC_EPS)
            target = share * _largest(overlap, index, slots)
            assignment = replace(assignment, weight=target, score=target, normalizer=target.sum())
        return assignment if sample is None else _one_slot_each(assignment, sample)

    def _owners(self, priors: Priors, predictions: Predictions, gt: GroundTruth) -> Tensor:
        """Steps 1 to 3: (B, R) int64, the ground truth of each sample, G where there is none."""
        regions = self._regions(priors, gt.boxes)
        best, favourite = SmallestSoFar(self.topk), []
        for start, part, overlap, metric in self._pairs(priors, predictions, gt):
            # 1 or 0: masks are slow on a CPU, products are not.
            candidate = gt.valid[..., None].float()
            if self.inside_first:
                candidate = depth_inside(part.points, regions).gt_(self.margin).mul_(candidate)
                overlap.mul_(candidate).add_(candidate - 1)  # below 0 where it is none
                favourite.append(overlap.max(dim=1).indices)
            best.add(metric.mul_(-candidate), start)
        cost, sample = best.result()
        taken = cost < 0
        if self.inside_first:
            return favourite_if_shared(sample, taken, torch.cat(favourite, dim=1), len(priors))
        sides = encode_ltrb(priors.points[sample], regions[:, :, None])
        taken &= sides.amin(dim=-1) > self.margin
        boxes = gather_samples(predictions.boxes, sample.flatten(1)).view(*sample.shape, 4)
        overlap = self._overlap(boxes, gt.boxes[:, :, None])
        return highest_taker(sample, overlap, taken, len(priors))

    def _regions(self, priors: Priors, boxes: Tensor) -> Tensor:
        """(B, G, 4), the boxes with their short sides widened about the centre."""
        if not self.widen:
            return boxes
        least = priors.stride[priors.level_sizes[0] if len(priors.level_sizes) > 1 else 0]
        short = boxes[..., 2:] - boxes[..., :2] < least
        half, center = torch.where(short, least / 2, 0), box_centers(boxes)
        low = torch.where(short, center - half, boxes[..., :2])
        return torch.cat([low, torch.where(short, center + half, boxes[..., 2:])], dim=-1)

    def _pairs(
        self, priors: Priors, predictions: Predictions, gt: GroundTruth
    ) -> Iterator[tuple[int, Priors, Tensor, Tensor]]:
        """Step 1, for some samples at a time.

        Yields:
            The index of the first, their priors, overlap and metric (B, G, r); the next piece may
            overwrite the overlap.
        """
        iou = iter(PairwiseIoU(predictions.boxes.float(), gt, self.max_pairs))
        for start, part, predicted in pieces(priors, predictions, gt, self.max_pairs):
            if self.ciou:
                overlap = self._overlap(predicted.boxes[:, None], gt.boxes[:, :, None])
            else:
                overlap = next(iou)[1].nan_to_num_(0)
            yield start, part, overlap, self._metric(scores_for(predicted, gt.labels), overlap)

    def _overlap(self, boxes: Tensor, others: Tensor) -> Tensor:
        overlap = elementwise_ciou if self.ciou else elementwise_iou
        return overlap(boxes.float(), others).clamp_(min=0).nan_to_num_(0)

    def _metric(self, score: Tensor, overlap: Tensor) -> Tensor:
        """Of scores that nobody needs any more: they are overwritten."""
        return _power(score, self.alpha).mul_(_power(overlap, self.beta)).nan_to_num_(0)

    def _own_metric(
        self, predictions: Predictions, gt: GroundTruth, index: Tensor, positive: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Overlap and metric (B, R) of positive samples with ground truth ``index``, else 0."""
        overlap = self._overlap(predictions.boxes, gather_samples(gt.boxes, index)) * positive
        labels = gt.labels.gather(1, index)[..., None]
        labelled = replace(predictions, logits=predictions.logits.gather(2, labels))
        return overlap, self._metric(detection_scores(labelled)[..., 0], overlap)


def _power(values: Tensor, exponent: float) -> Tensor:
    """``values ** exponent``; the usual 6 is several times faster by multiplication."""
    if exponent == 1:
        return values
    return values.square().mul_(values).square_() if exponent == 6 else values.pow(exponent)


def _largest(values: Tensor, index: Tensor, slots: int) -> Tensor:
    """(B, R), the largest value (B, R) >= 0 of all samples of the same ground truth."""
    largest = values.new_zeros(len(values), slots)
    return largest.scatter_reduce(1, index, values, "amax").gather(1, index)


def _first_largest(metric: Tensor, index: Tensor, positive: Tensor, slots: int) -> Tensor:
    """(B, G) int64, the positive of largest metric of each ground truth, R where it has none."""
    num_samples = metric.shape[1]
    hit = positive & (metric == _largest(metric, index, slots))
    number = torch.arange(num_samples, device=metric.device).expand_as(index)
    first = index.new_full((len(index), slots), num_samples)
    return first.scatter_reduce(1, index, number.masked_fill(~hit, num_samples), "amin")


def _one_slot_each(assignment: Assignment, sample: Tensor) -> Assignment:
    """A dense assignment as one with a slot a ground truth: its sample (B, G), R = none."""
    num_samples = assignment.sample.shape[1]
    matched, sample = sample < num_samples, sample.clamp(max=num_samples - 1)
    return replace(
        assignment,
        sample=sample,
        gt=torch.arange(sample.shape[1], device=sample.device).expand_as(sample),
        weight=assignment.weight.gather(1, sample) * matched,
        score=assignment.score.gather(1, sample) * matched,
    )
