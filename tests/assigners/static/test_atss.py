import numpy as np
import pytest
import torch
from assigners import ATSS
from assigners.static.atss import nearest_points
from onenet import Priors

from ..golden import anchor_priors, cases, ground_truth, load, no_predictions

pytestmark = pytest.mark.numeric

GOLDEN = load("atss")
CASES = dict(cases(GOLDEN))
PRIORS = anchor_priors(GOLDEN["grid_g0_anchors"], GOLDEN["grid_g0_level_hw"])


@pytest.mark.parametrize("max_pairs", [1 << 18, 100])
@pytest.mark.parametrize("name", CASES)
def test_reference(name, max_pairs):
    case = CASES[name]
    assignment = ATSS(max_pairs=max_pairs)(PRIORS, no_predictions(PRIORS), ground_truth(case))
    assert torch.equal(assignment.dense_gt()[0], torch.from_numpy(case["matched_gt"]))


@pytest.mark.parametrize("num_points", [1, 5, 37, 400, 1000])
@pytest.mark.parametrize("count", [1, 9])
@pytest.mark.parametrize("max_pairs", [1, 1 << 18])
def test_nearest_points(num_points, count, max_pairs):
    generator = torch.Generator().manual_seed(num_points)
    points = torch.rand(num_points, 2, generator=generator) * 100
    centers = torch.rand(2, 3, 2, generator=generator) * 120 - 10
    nearest = nearest_points(points, centers, count, max_pairs)
    distance = (points - centers[:, :, None]).square().sum(-1)
    expected = distance.argsort(dim=-1)[..., :count]
    assert torch.equal(nearest.sort(-1).values, expected.sort(-1).values)


def test_a_box_at_infinity_stays_without_positives():
    gt = ground_truth({"gt_boxes": np.full((1, 4), 1e30, "f"), "gt_classes": np.zeros(1, int)})
    assignment = ATSS()(PRIORS, no_predictions(PRIORS), gt)
    assert (assignment.dense_gt() == -1).all()


def test_anchors_of_a_location_share_one_candidate():
    """Three equal anchors a location: all of them follow the one."""
    tripled = Priors(
        boxes=PRIORS.boxes.repeat_interleave(3, dim=0),
        points=PRIORS.points.repeat_interleave(3, dim=0),
        stride=PRIORS.stride.repeat_interleave(3),
        level=PRIORS.level.repeat_interleave(3),
        level_sizes=tuple(3 * size for size in PRIORS.level_sizes),
        anchors=3,
    )
    gt = ground_truth(CASES["0_random"])
    one = ATSS()(PRIORS, no_predictions(PRIORS), gt).dense_gt()
    three = ATSS()(tripled, no_predictions(tripled), gt).dense_gt()
    # The deviation divides by 3 n - 1, not n - 1: only an IoU next to the threshold could tell.
    assert torch.equal(three, one.repeat_interleave(3, dim=1))
