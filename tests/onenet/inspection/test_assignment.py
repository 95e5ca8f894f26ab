import pytest
import torch
from onenet import Assignment, MinCost
from onenet.inspection.assignment import assignment_statistics


def statistics(problem, sample, gt, weight):
    weight = torch.tensor(weight)
    assignment = Assignment(
        torch.tensor(sample), torch.tensor(gt), weight, torch.ones_like(weight), num_samples=60
    )
    numbers = assignment_statistics(problem.priors, problem.predictions, problem.gt, assignment)
    return {name: value.item() for name, value in numbers.items()}


def test_counts(make_problem):
    problem = make_problem(objects=(3, 0, 2), levels=2)  # samples 0 to 29 and 30 to 59
    problem.predictions.boxes[0, 4] = problem.gt.boxes[0, 0]
    problem.predictions.logits[0, 4] = 0
    problem.predictions.boxes[0, 40] = 0
    problem.predictions.logits[:, 40] = -100
    numbers = statistics(
        problem,
        sample=[[4, 4, 40, 8], [0, 0, 0, 0], [40, 1, 1, 1]],
        gt=[[0, 0, 1, 2], [0, 0, 0, 0], [1, 0, 0, 0]],
        weight=[[1.0, 0.5, 1.0, 0.0], [0.0] * 4, [1.0, 0.0, 0.0, 0.0]],
    )
    assert numbers["positives_per_gt"] == pytest.approx(4 / 5)
    assert numbers["positives_per_gt_level0"] == pytest.approx(2 / 5)
    assert numbers["positives_per_gt_level1"] == pytest.approx(2 / 5)
    assert numbers["gt_without_positive"] == pytest.approx(2 / 5)
    assert numbers["shared_samples"] == pytest.approx(1 / 3)
    assert numbers["positive_score"] == pytest.approx((0.5 + 0.5 + 0 + 0) / 4)


def test_iou_of_the_pairs(make_problem):
    problem = make_problem(objects=(2,))
    problem.gt.boxes[0] = torch.tensor([[0.0, 0, 10, 10], [50, 50, 60, 60]])
    problem.predictions.boxes[0, :3] = torch.tensor(
        [[0.0, 0, 10, 5], [50, 50, 60, 60], [0, 0, 1, 1]]
    )
    numbers = statistics(problem, [[0, 1, 2]], [[0, 1, 1]], [[1.0, 1.0, 0.0]])
    assert numbers["positive_iou"] == pytest.approx((0.5 + 1) / 2)
    assert "positives_per_gt_level0" not in numbers


def test_positives_outside_of_their_objects(make_problem):
    problem = make_problem(objects=(2,))
    problem.gt.boxes[0] = torch.tensor([[0.0, 0, 10, 10], [50, 50, 60, 60]])
    problem.priors.points[:4] = torch.tensor([[5.0, 5], [10, 5], [55, 55], [5, 6]])
    pairs = [[0, 1, 2, 3]], [[0, 0, 1, 1]]  # in it, on its side, in it, in the other one
    for weight, outside in ([1.0, 1, 1, 1], 1 / 2), ([1.0, 0, 1, 1], 1 / 3):
        numbers = statistics(problem, *pairs, [weight])
        assert numbers["positives_outside"] == pytest.approx(outside)


def test_no_object_at_all(make_problem):
    problem = make_problem(objects=(0, 0))
    problem.predictions.boxes[:] = float("nan")
    numbers = statistics(problem, [[0], [0]], [[0], [0]], [[0.0], [0.0]])
    assert set(numbers.values()) == {0}


def test_statistics_do_not_synchronise(make_problem):
    problem = make_problem(levels=2).to("meta")
    arguments = problem.priors, problem.predictions, problem.gt
    numbers = assignment_statistics(*arguments, MinCost()(*arguments))
    assert all(value.dim() == 0 for value in numbers.values())
