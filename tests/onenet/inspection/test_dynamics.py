from dataclasses import replace

import pytest
import torch
from onenet import Assignment, GroundTruth, MinCost
from onenet.assignment.min_cost import WRONG_LEVEL_COST
from onenet.inspection.dynamics import (
    PositivePairs,
    describe,
    describe_costs,
    moved,
    pool,
    positive_pairs,
)
from onenet.inspection.positives import PositiveSamples

SAMPLES = 60  # of the problems below


def pairs(*codes, num_samples=10):
    return PositivePairs(num_samples, torch.tensor(codes, dtype=torch.int64))


def assign(problem, assigner):
    assignment = assigner(problem.priors, problem.predictions, problem.gt)
    return PositiveSamples(assignment, problem.priors, problem.predictions, problem.gt)


@pytest.fixture
def problem(make_problem):
    return make_problem(objects=(4,), samples=SAMPLES)


def test_a_single_positive_has_moved_or_not():
    assert moved(pairs(3, 17, 29), pairs(3, 18, 29)).tolist() == [0, 1, 0]


def test_of_several_positives_the_share_that_differs_has_moved():
    before, now = pairs(0, 1, 2, 3), pairs(2, 3, 4, 5)
    assert moved(before, now).tolist() == pytest.approx([1 - 2 / 6])


def test_a_ground_truth_without_positive_counts_if_it_gains_or_loses_one():
    assert moved(pairs(23), pairs(3)).tolist() == [1, 1]  # the second has never had one
    assert moved(pairs(), pairs()).tolist() == []


def test_samples_of_another_grid_are_not_compared():
    assert len(moved(pairs(3), pairs(3, num_samples=11))) == 0


def test_positive_pairs_are_those_in_use(problem):
    samples = assign(problem, MinCost())
    sample = samples.assignment.sample[0]
    weight = torch.tensor([[1.0, 0, 1, 1]])
    samples = samples._replace(assignment=replace(samples.assignment, weight=weight))
    codes = [gt * SAMPLES + int(sample[gt]) for gt in (0, 2, 3)]
    assert positive_pairs(samples).codes.tolist() == codes


def test_pairs_are_described_by_iou_score_and_distance_from_the_centre(problem):
    samples = assign(problem, MinCost())
    points, boxes = problem.priors.points.clone(), problem.gt.boxes[0]
    first, second = samples.assignment.sample[0, :2]
    points[first] = (boxes[0, :2] + boxes[0, 2:]) / 2
    points[second] = boxes[1, :2]  # a corner
    predicted = problem.predictions.boxes.clone()
    predicted[0, first] = boxes[0]
    values = describe(
        samples._replace(
            priors=replace(problem.priors, points=points),
            predictions=replace(problem.predictions, boxes=predicted),
        ),
        torch.nn.Identity(),
    )
    assert set(values) == {"positive_iou", "positive_score", "off_center"}
    assert values["off_center"][:2].tolist() == pytest.approx([0, 1], abs=1e-5)
    assert values["positive_iou"][0] == pytest.approx(1)
    logit = problem.predictions.logits[0, first, problem.gt.labels[0, 0]]
    assert values["positive_score"][0] == pytest.approx(torch.sigmoid(logit).item())


def test_the_costs_of_the_pairs_add_up(problem):
    assigner = MinCost(max_pairs=2 * SAMPLES)  # two ground truths at a time
    samples = assign(problem, assigner)
    values = describe_costs(samples, assigner)
    least = assigner.cost_matrix(problem.priors, problem.predictions, problem.gt)[0].amin(dim=1)
    assert torch.allclose(values["class_cost"] + values["location_cost"], least, atol=1e-5)
    assert ((values["class_share"] > 0) & (values["class_share"] < 1)).all()
    undivided = describe_costs(samples, MinCost())
    assert all(torch.equal(values[name], undivided[name]) for name in values)


@pytest.mark.parametrize(
    ("weights", "alone", "share"),
    [
        ({"class_weight": 0.0}, "location_agreement", 0),
        ({"l1_weight": 0.0, "giou_weight": 0.0}, "class_agreement", 1),
    ],
)
def test_one_cost_decides_alone(problem, weights, alone, share):
    assigner = MinCost(**weights)
    values = describe_costs(assign(problem, assigner), assigner)
    assert values[alone].tolist() == [1] * 4
    assert len(values["class_share"])
    assert (values["class_share"] == share).all()


def test_the_share_is_over_the_samples_in_the_object(make_problem):
    """Two in it, with known costs; what is outside does not count."""
    problem = make_problem(objects=(1,), samples=3, classes=1)
    points = torch.tensor([[10.0, 10], [20, 20], [90, 90]])
    box = torch.tensor([[[5.0, 5, 25, 25]]])
    problem = replace(
        problem,
        priors=replace(problem.priors, points=points),
        gt=replace(problem.gt, boxes=box),
    )
    assigner = MinCost(location="priors")
    values = describe_costs(assign(problem, assigner), assigner)
    cost = assigner.cost_matrix(problem.priors, problem.predictions, problem.gt)[0, 0]
    location = MinCost(location="priors", class_weight=0.0)
    location = location.cost_matrix(problem.priors, problem.predictions, problem.gt)[0, 0]
    spread = [abs(float(c[0] - c[1])) for c in (cost - location, location)]
    assert values["class_share"].tolist() == pytest.approx([spread[0] / sum(spread)], rel=1e-4)


def test_a_level_that_is_out_of_the_question_is_no_choice(make_problem):
    problem = make_problem(objects=(2,), samples=SAMPLES, levels=2)
    ranges = [(-1.0, 1000.0), (1000.0, 2000.0)]
    assigner = MinCost(location="priors", size_ranges=ranges)
    values = describe_costs(assign(problem, assigner), assigner)
    assert (values["location_cost"] < WRONG_LEVEL_COST).all()
    assert (values["class_share"] > 0.01).all()  # 9999 in the spread would leave nothing of it


@pytest.mark.parametrize("solver", ["argmin", "hungarian"])
def test_solvers_disagree_where_two_objects_want_one_sample(problem, solver):
    boxes, labels = problem.gt.boxes.clone(), problem.gt.labels.clone()
    boxes[0, 1], labels[0, 1] = boxes[0, 0], labels[0, 0]  # the same object twice
    problem = replace(problem, gt=replace(problem.gt, boxes=boxes, labels=labels))
    assigner = MinCost(solver=solver)
    agreement = describe_costs(assign(problem, assigner), assigner)["solver_agreement"]
    assert agreement[:2].sum() == 1
    assert assigner.solver == solver


def test_an_image_without_objects_has_nothing_to_say(make_problem):
    problem = make_problem(objects=(0,))
    samples = assign(problem, MinCost())
    assert not len(positive_pairs(samples).codes)
    values = describe(samples, MinCost())
    assert pool([values]) == {}


def test_pooling_weighs_values_not_images():
    images = [{"a": torch.tensor([1.0, 2, 3])}, {"a": torch.tensor([6.0]), "b": torch.ones(1)}]
    assert pool([*images, {"c": torch.zeros(0)}]) == {"a": 3, "b": 1}


def test_dense_rules_are_described_too(problem):
    sample = torch.arange(SAMPLES)[None]
    weight = torch.zeros(1, SAMPLES)
    weight[0, 5:9] = 1
    assignment = Assignment(sample, torch.ones_like(sample), weight, weight)
    samples = PositiveSamples(assignment, problem.priors, problem.predictions, problem.gt)
    assert positive_pairs(samples).codes.tolist() == [SAMPLES + i for i in range(5, 9)]
    assert len(describe(samples, torch.nn.Identity())["positive_iou"]) == 4
    assert isinstance(samples.gt, GroundTruth)
