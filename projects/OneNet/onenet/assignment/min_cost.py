"""OneNet's assigner: each ground truth gets the one sample of least cost."""

from __future__ import annotations

import math

import torch
from detectron2.config import configurable
from torch import Tensor

from ..errors import ConfigError, choose
from ..structures import Assignment, GroundTruth, Predictions, Priors
from .assigner import ASSIGNER_REGISTRY, Assigner
from .costs import box_cost, center_cost, class_cost, outside_level_range
from .explanation import Condition, Explanation, one_sample_each, ranks
from .hungarian import solve_hungarian
from .levels import ANY_SIZE, SizeRanges, ranges_of_levels
from .pieces import check_max_pairs, of_all_pairs, pieces
from .regions import center_region_depth, in_center_region, prefer_center_region
from .selection import SmallestSoFar, smallest

# Stands for NaN and infinite costs. Still exact when the solver adds hundreds of them in float64.
NON_FINITE_COST = 1e8
# Added where a ground truth does not belong on the level of the sample; the reference's number.
WRONG_LEVEL_COST = 9999.0

SOLVERS = ("argmin", "hungarian")
LOCATIONS = ("predictions", "priors")
REGIONS = ("anywhere", "inside", "center")


@ASSIGNER_REGISTRY.register()
class MinCost(Assigner):
    """Minimum-cost label assignment.

    1. The cost of a (sample, ground truth) pair is a weighted sum of the focal classification
       cost, the normalised L1 distance of the boxes and their negative GIoU.
    2. ``argmin``: each ground truth takes its cheapest sample; two may share one (the paper, and
       the default). ``hungarian``: each takes a sample of its own at least total cost (what the
       released code runs).
    3. Every other sample is negative.

    With a ``region``, step 2 takes a sample that lies strictly inside of its ground truth, for
    "center" also less than ``region_radius`` strides from its centre, and only where there is none
    (or others have them all) the one nearest to the centre. This is the spatial prior of POTO, DATE
    and YOLOv10. Without it a confident sample on another object may cost least.

    Source: OneNet (Sun et al., ICML 2021), section 3.2 and algorithm 1; PeizeSun/OneNet
    ``loss.py`` and ``loss_predefine.py``.

    The boxes of the location cost are the predicted ones or, for ablation (``PRE_DEFINE``), the
    priors: their boxes where a location has several anchors, else their points. With points there
    is no GIoU term, and on a pyramid samples of a level that is not meant for the size of the
    ground truth cost ``WRONG_LEVEL_COST`` more.

    Deviation: where a predicted box and a ground truth both have no area, the reference divides 0
    by 0; here their GIoU is 0.
    """

    @configurable
    def __init__(
        self,
        *,
        class_weight: float = 2.0,
        l1_weight: float = 5.0,
        giou_weight: float = 2.0,
        alpha: float = 0.25,
        gamma: float = 2.0,
        solver: str = "argmin",
        location: str = "predictions",
        region: str = "anywhere",
        region_radius: float = 2.5,
        size_ranges: SizeRanges = ANY_SIZE,
        max_pairs: int = 0,
    ):
        """
        Args:
            class_weight, l1_weight, giou_weight: weights of the three costs; 0 leaves one out.
            alpha, gamma: of the focal classification cost.
            solver: "argmin" or "hungarian".
            location: "predictions" or "priors".
            region: where positives lie, "anywhere", "inside" or "center".
            region_radius: of the region of "center" along x and y, in strides of the level.
            size_ranges: smallest and largest size in pixels for each level of a pyramid of points,
                with "priors".
            max_pairs: the cost of at most this many (sample, ground truth) pairs is in memory at
                once. The result does not depend on it; 0 = by device.

        Raises:
            ConfigError: an unknown ``solver``, ``location`` or ``region``, a radius that is not
                positive, a negative ``max_pairs``.
        """
        super().__init__()
        self.class_weight = class_weight
        self.l1_weight = l1_weight
        self.giou_weight = giou_weight
        self.alpha = alpha
        self.gamma = gamma
        self.solver = choose("MODEL.OneNet.ASSIGNER.SOLVER", solver, SOLVERS)
        self.location = choose("location", location, LOCATIONS)
        self.region = choose("MODEL.OneNet.ASSIGNER.REGION", region, REGIONS)
        if region_radius <= 0:
            raise ConfigError(
                f"MODEL.OneNet.ASSIGNER.REGION_RADIUS must be positive, got {region_radius}."
            )
        self.region_radius = region_radius
        self.max_pairs = check_max_pairs(max_pairs)
        ranges = torch.tensor(size_ranges, dtype=torch.float32)
        self.register_buffer("size_ranges", ranges, persistent=False)

    @classmethod
    def from_config(cls, cfg):
        onenet = cfg.MODEL.OneNet
        return {
            "class_weight": onenet.CLASS_COST,
            "l1_weight": onenet.L1_COST,
            "giou_weight": onenet.GIOU_COST,
            "alpha": onenet.ALPHA,
            "gamma": onenet.GAMMA,
            "solver": onenet.ASSIGNER.SOLVER,
            "location": "priors" if onenet.PRE_DEFINE else "predictions",
            "region": onenet.ASSIGNER.REGION,
            "region_radius": onenet.ASSIGNER.REGION_RADIUS,
            "size_ranges": onenet.OBJECT_SIZES_OF_INTEREST,
            "max_pairs": onenet.ASSIGNER.MAX_PAIRS,
        }

    @torch.no_grad()
    def forward(self, priors: Priors, predictions: Predictions, gt: GroundTruth) -> Assignment:
        sample, matched = self._match(priors, predictions, gt)
        slots = torch.arange(sample.shape[1], device=sample.device).expand_as(sample)
        return Assignment(
            sample=sample.masked_fill(~matched, 0),
            gt=slots,
            weight=matched.float(),
            score=torch.ones_like(sample, dtype=torch.float32),
            num_samples=len(priors),
        )

    @torch.no_grad()
    def explain(self, priors: Priors, predictions: Predictions, gt: GroundTruth) -> Explanation:
        cost = of_all_pairs(self._preferred_costs, priors, predictions, gt, self.max_pairs)
        quantities = {**self._terms(priors, predictions, gt), "rank of the cost": ranks(cost)}
        if self.solver == "hungarian":
            chosen = one_sample_each(*self._match(priors, predictions, gt), len(priors))
            choice = Condition("its sample where all pairs together are cheapest", chosen)
        else:
            choice = _cheapest_of_row(cost, quantities["rank of the cost"] == 0)
        if self.region == "anywhere":
            return Explanation.of(gt, len(priors), quantities, [choice])
        depth = center_region_depth(priors, gt.boxes, self._radius)
        passed = in_center_region(priors, gt.boxes, self._radius) | choice.passed
        name = "object" if self.region == "inside" else "centre region"
        region = Condition(f"inside the {name}, or nearest for want of one", passed, depth, "px")
        quantities["depth in the region (px)"] = depth
        return Explanation.of(gt, len(priors), quantities, [region, choice])

    def _terms(
        self, priors: Priors, predictions: Predictions, gt: GroundTruth
    ) -> dict[str, Tensor]:
        """The weighted terms of the cost by name, and at last their sum, each (B, G, R)."""
        total = {"cost": self.cost_matrix(priors, predictions, gt)}
        terms = {}
        if self.class_weight != 0:
            cost = class_cost(predictions.logits.float(), gt.labels, self.alpha, self.gamma)
            terms["class cost"] = cost * self.class_weight
        boxes = self._boxes(priors, predictions, gt)
        if boxes is not None:
            terms["L1 cost"] = box_cost(boxes, gt, self.l1_weight, 0)
            terms["GIoU cost"] = box_cost(boxes, gt, 0, self.giou_weight)
            return {**terms, **total}
        terms["L1 cost of the centre"] = center_cost(priors.points, gt) * self.l1_weight
        if len(priors.level_sizes) > 1:
            terms["cost of the level"] = self._wrong_level(priors, gt) * WRONG_LEVEL_COST
        return {**terms, **total}

    def _match(
        self, priors: Priors, predictions: Predictions, gt: GroundTruth
    ) -> tuple[Tensor, Tensor]:
        """Step 2: (B, G) int64 the sample of each ground truth, and whether it has one."""
        if self.solver == "argmin":
            _, sample = self._cheapest(priors, predictions, gt, count=1)
            return sample[..., 0], gt.valid
        count = min(gt.labels.shape[1], len(priors))
        cost, sample = self._cheapest(priors, predictions, gt, count)
        return solve_hungarian(cost, sample, gt.valid)

    def cost_matrix(self, priors: Priors, predictions: Predictions, gt: GroundTruth) -> Tensor:
        """Total cost of every pair wherever it is, (B, G, R) float32, finite."""
        cost = self._location_cost(priors, predictions, gt)
        if self.class_weight != 0:
            logits = predictions.logits.float()
            cost.add_(
                class_cost(logits, gt.labels, self.alpha, self.gamma), alpha=self.class_weight
            )
        return torch.nan_to_num_(
            cost, nan=NON_FINITE_COST, posinf=NON_FINITE_COST, neginf=NON_FINITE_COST
        )

    def _location_cost(self, priors: Priors, predictions: Predictions, gt: GroundTruth) -> Tensor:
        boxes = self._boxes(priors, predictions, gt)
        if boxes is not None:
            return box_cost(boxes, gt, self.l1_weight, self.giou_weight)
        cost = center_cost(priors.points, gt).mul_(self.l1_weight)
        if len(priors.level_sizes) > 1:
            cost.add_(self._wrong_level(priors, gt), alpha=WRONG_LEVEL_COST)
        return cost

    def _preferred_costs(self, priors: Priors, predictions: Predictions, gt: GroundTruth) -> Tensor:
        """Costs by which samples in the region come first."""
        cost = self.cost_matrix(priors, predictions, gt)
        if self.region == "anywhere":
            return cost
        return prefer_center_region(cost, priors, gt.boxes, self._radius, NON_FINITE_COST)

    @property
    def _radius(self) -> float:
        return self.region_radius if self.region == "center" else math.inf

    def _boxes(self, priors: Priors, predictions: Predictions, gt: GroundTruth) -> Tensor | None:
        """(B, r, 4), what the location cost compares; None where it is points."""
        if self.location == "predictions":
            return predictions.boxes.float()
        return priors.boxes.expand(len(gt.boxes), -1, -1) if priors.anchors > 1 else None

    def _wrong_level(self, priors: Priors, gt: GroundTruth) -> Tensor:
        """(B, G, r) bool."""
        ranges = ranges_of_levels(self.size_ranges, priors)
        return outside_level_range(priors.points, ranges[priors.level], gt)

    def _cheapest(
        self, priors: Priors, predictions: Predictions, gt: GroundTruth, count: int
    ) -> tuple[Tensor, Tensor]:
        """The ``count`` cheapest samples of each ground truth: cost, index, each (B, G, count).

        Works piece by piece over the samples, so that a piece's costs stay in the cache (and in
        memory), and keeps the cheapest of all pieces so far.
        """
        cheapest = SmallestSoFar(count)
        for start, *part in pieces(priors, predictions, gt, self.max_pairs):
            cheapest.add(self._preferred_costs(*part, gt), start)
        return cheapest.result()


def _cheapest_of_row(cost: Tensor, chosen: Tensor) -> Condition:
    """That a sample costs least, for costs (B, G, R) and which ones do."""
    least, second = smallest(cost, 2)[0][..., [0, -1]].split(1, dim=-1)
    margin = torch.where(chosen, second, least) - cost
    # What stands for a cost is none.
    margin = margin.masked_fill(margin.abs() > NON_FINITE_COST / 2, torch.inf)
    return Condition("the cheapest sample of the object", chosen, margin, "of cost")
