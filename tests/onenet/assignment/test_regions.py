from dataclasses import replace

import pytest
import torch
from onenet import GroundTruth, MinCost, Predictions, Priors
from onenet.assignment.regions import in_center_region, prefer_center_region
from onenet.geometry import grid_points, square_boxes
from scipy.optimize import linear_sum_assignment

pytestmark = pytest.mark.numeric

STRIDE, SIDE = 4, 16  # of a grid of SIDE x SIDE samples
REGIONS = {"inside": float("inf"), "center": 1.5}


def grid():
    points = grid_points(SIDE, SIDE, STRIDE, torch.device("cpu"))
    stride = torch.full((len(points),), float(STRIDE))
    level = torch.zeros(len(points), dtype=torch.int64)
    return Priors(square_boxes(points, 8 * stride), points, stride, level, (len(points),))


def problem(*boxes, seed=0):
    """One class, and predictions that know nothing of the objects."""
    priors, generator = grid(), torch.Generator().manual_seed(seed)
    boxes = torch.tensor([boxes])
    count = boxes.shape[1]
    gt = GroundTruth(
        boxes,
        torch.zeros(1, count, dtype=torch.int64),
        torch.ones(1, count, dtype=torch.bool),
        torch.tensor([[64.0, 64.0]]),
    )
    sides = (2 + 9 * torch.rand(1, len(priors), 4, generator=generator)) * torch.tensor(
        [-1.0, -1, 1, 1]
    )
    logits = 4 * torch.randn(1, len(priors), 1, generator=generator)
    return priors, Predictions(logits, priors.points.repeat(1, 2) + sides), gt


def assigner(region, **settings):
    return MinCost(region=region, region_radius=REGIONS["center"], **settings)


def test_region_by_strides_and_sides():
    boxes = torch.tensor([[[0.0, 0, 40, 12]]])
    inside = in_center_region(grid(), boxes, float("inf"))[0, 0].view(SIDE, SIDE)
    assert inside.nonzero().tolist() == [[y, x] for y in range(3) for x in range(10)]
    near = in_center_region(grid(), boxes, 1.0)[0, 0].view(SIDE, SIDE)
    assert near.nonzero().tolist() == [[1, 4], [1, 5]]  # (18, 6) and (22, 6), of centre (20, 6)
    on_the_border = torch.tensor([[[2.0, 2, 6, 6]]])
    assert not in_center_region(grid(), on_the_border, float("inf")).any()


@pytest.mark.parametrize("worst", [1.0, 1e8])
def test_outside_is_dearer_and_nearest_first(worst):
    """Whatever the cost is; hundredths of a pixel are told apart, however large the penalty."""
    priors = grid()
    boxes = torch.tensor([[[20.3, 20.1, 21.4, 21.6]], [[-470.0, 20, -460, 30]]])
    cost = torch.full((2, 1, len(priors)), 3e38)
    value = prefer_center_region(cost, priors, boxes, 1.5, worst)[:, 0]
    assert (value >= worst).all() and (value <= 2 * worst).all()
    for image, center in enumerate([[20.85, 20.85], [-465.0, 25.0]]):
        distance = (priors.points - torch.tensor(center)).abs().amax(dim=1)
        assert (distance[value[image].argsort()].diff() >= -1e-2).all()


@pytest.mark.parametrize("region, radius", REGIONS.items())
def test_argmin_is_the_cheapest_in_the_region(region, radius):
    scene = problem([10.0, 10, 30, 33], [12.0, 12, 28, 30], [40.0, 3, 60, 61])
    priors, _, gt = scene
    allowed = in_center_region(priors, gt.boxes, radius)
    cost = assigner(region).cost_matrix(*scene)
    free = MinCost()(*scene).sample
    assert not allowed.gather(2, free[..., None]).all()  # else this shows nothing
    expected = cost.masked_fill(~allowed, torch.inf).argmin(dim=2)
    assert assigner(region)(*scene).sample.equal(expected)
    assert assigner(region, max_pairs=100)(*scene).sample.equal(expected)


@pytest.mark.parametrize("region, radius", REGIONS.items())
def test_hungarian_is_the_least_total_in_the_region(region, radius):
    scene = problem(*[[x, 8.0, x + 14, 24] for x in (8.0, 9, 10, 11, 12)], seed=2)
    priors, _, gt = scene
    allowed = in_center_region(priors, gt.boxes, radius)[0]
    cost = assigner(region).cost_matrix(*scene)[0].masked_fill(~allowed, 1e4)
    rows, columns = linear_sum_assignment(cost.numpy())
    least = cost[rows, columns].sum()
    for max_pairs in (0, 100):
        result = assigner(region, solver="hungarian", max_pairs=max_pairs)(*scene)
        sample = result.sample[0]
        assert len(set(sample.tolist())) == len(sample)
        torch.testing.assert_close(cost.gather(1, sample[:, None]).sum(), least)


@pytest.mark.parametrize("solver", ["argmin", "hungarian"])
@pytest.mark.parametrize("region", REGIONS)
def test_an_object_without_a_sample_in_it_takes_the_nearest(region, solver):
    boxes = [[11.0, 11, 12, 13], [20.0, 20, 40, 40], [-90.0, -90, -80, -80], [7.0, 7, 7, 7]]
    priors, predictions, gt = problem(*boxes)
    result = assigner(region, solver=solver)(priors, predictions, gt)
    points = priors.points[result.sample[0]].tolist()
    assert result.positive.all()
    assert points[0] == [10, 10] and points[2] == [2, 2] and points[3] == [6, 6]
    assert in_center_region(priors, gt.boxes, REGIONS[region])[0, 1, result.sample[0, 1]]


def test_more_objects_than_samples_in_their_region():
    """Three want the one sample in them: one has it, whom it costs least, the others the next."""
    scene = problem(*[[9.0, 9, 12, 12]] * 3)
    scene[1].boxes[0, 2 * SIDE + 2] = scene[2].boxes[0, 0]
    for region in REGIONS:
        sample = assigner(region, solver="hungarian")(*scene).sample[0]
        points = scene[0].points[sample].tolist()
        assert [10, 10] in points and len({tuple(point) for point in points}) == 3
        assert all(max(abs(x - 10.5), abs(y - 10.5)) <= 4.5 for x, y in points)


def test_the_default_is_anywhere():
    scene = problem([10.0, 10, 30, 33], [40.0, 3, 60, 61])
    cost = MinCost().cost_matrix(*scene)
    assert MinCost()(*scene).sample.equal(cost.argmin(dim=2))
    assert cost.equal(assigner("center").cost_matrix(*scene))


@pytest.mark.parametrize("location, anchors", [("predictions", 1), ("priors", 1), ("priors", 3)])
@pytest.mark.parametrize("region", REGIONS)
def test_regions_do_not_synchronise(make_problem, region, location, anchors):
    data = make_problem(levels=2).to("meta")
    rule = assigner(region, location=location, size_ranges=[[-1, 50], [50, 999]], max_pairs=100)
    result = rule.to("meta")(replace(data.priors, anchors=anchors), data.predictions, data.gt)
    assert result.sample.shape == (3, 5)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("solver", ["argmin", "hungarian"])
def test_predictions_that_are_not_finite(solver, value):
    priors, predictions, gt = problem([10.0, 10, 30, 33], [40.0, 3, 60, 61])
    predictions.boxes[0, ::2] = value
    predictions.logits[0, ::3] = value
    sample = assigner("inside", solver=solver)(priors, predictions, gt).sample
    assert in_center_region(priors, gt.boxes, float("inf")).gather(2, sample[..., None]).all()
    assert predictions.boxes[0, sample[0]].isfinite().all()
