import pytest
import torch
from onenet.assignment import costs
from torchvision.ops import generalized_box_iou

pytestmark = pytest.mark.numeric

ALPHA, GAMMA = 0.25, 2.0


def naive_focal_cost(logits):
    """OneNet, section 3.2, term by term in float64."""
    p = logits.double().sigmoid()
    positive = ALPHA * (1 - p) ** GAMMA * -(p + 1e-8).log()
    negative = (1 - ALPHA) * p**GAMMA * -(1 - p + 1e-8).log()
    return positive - negative


def test_focal_cost():
    logits = torch.linspace(-8, 8, 101)
    cost = costs.focal_cost(logits, ALPHA, GAMMA)
    torch.testing.assert_close(cost.double(), naive_focal_cost(logits), rtol=1e-4, atol=1e-5)
    assert (cost.diff() < 0).all()  # the likelier the class, the cheaper the sample


@pytest.mark.parametrize("logit", [-1e4, -100.0, 100.0, 1e4, float("inf"), -float("inf")])
def test_focal_cost_of_extreme_logits_is_finite(logit):
    assert costs.focal_cost(torch.tensor([logit]), ALPHA, GAMMA).isfinite().all()


@pytest.mark.parametrize("classes", [2, 9])  # fewer classes than ground truths, and more
@pytest.mark.parametrize("rows_contiguous", [True, False])
def test_class_cost_is_that_of_the_true_class(make_problem, classes, rows_contiguous):
    problem = make_problem(classes=classes)
    logits = problem.predictions.logits
    if rows_contiguous:
        logits = logits.transpose(1, 2).contiguous().transpose(1, 2)
    before = logits.clone()
    cost = costs.class_cost(logits, problem.gt.labels, ALPHA, GAMMA)
    assert cost.shape == (3, 5, 60)
    for image in range(3):
        expected = naive_focal_cost(logits[image])[:, problem.gt.labels[image]].T
        torch.testing.assert_close(cost[image].double(), expected, rtol=1e-4, atol=1e-5)
    assert logits.equal(before)


@pytest.mark.parametrize("l1_weight, giou_weight", [(5.0, 2.0), (1.0, 0.0), (0.0, 1.0)])
def test_box_cost_is_the_weighted_sum_of_l1_and_giou(make_problem, l1_weight, giou_weight):
    problem = make_problem()
    boxes, gt = problem.predictions.boxes, problem.gt
    cost = costs.box_cost(boxes, gt, l1_weight, giou_weight)
    for image in range(3):
        l1 = torch.cdist(gt.boxes[image] / gt.scale[image], boxes[image] / gt.scale[image], p=1)
        expected = l1_weight * l1 - giou_weight * generalized_box_iou(gt.boxes[image], boxes[image])
        torch.testing.assert_close(cost[image], expected, rtol=1e-4, atol=1e-4)


def test_box_cost_leaves_its_inputs_alone(make_problem):
    problem = make_problem()
    boxes, true_boxes = problem.predictions.boxes.clone(), problem.gt.boxes.clone()
    costs.box_cost(problem.predictions.boxes, problem.gt, 5.0, 2.0)
    assert boxes.equal(problem.predictions.boxes) and true_boxes.equal(problem.gt.boxes)


def test_box_cost_of_boxes_without_area_is_finite(make_problem):
    problem = make_problem(objects=(3, 3))
    points = problem.priors.points
    boxes = torch.cat([points, points], dim=1).expand(2, -1, -1)
    problem.gt.boxes[:] = boxes[:, :3]
    cost = costs.box_cost(boxes, problem.gt, 5.0, 2.0)
    assert cost.isfinite().all()
    assert cost.argmin(dim=-1).tolist() == [[0, 1, 2], [0, 1, 2]]


def test_center_cost_is_the_l1_cost_of_boxes_without_extent(make_problem):
    problem = make_problem()
    points, gt = problem.priors.points, problem.gt
    # The sides of a point are as far from those of a box as the centres only where the box has no
    # extent either.
    centers = (gt.boxes[..., :2] + gt.boxes[..., 2:]) / 2
    gt.boxes[:] = torch.cat([centers, centers], dim=-1)
    boxes = torch.cat([points, points], dim=1).expand(3, -1, -1)
    expected = costs.box_cost(boxes, gt, 1.0, 0.0)
    torch.testing.assert_close(costs.center_cost(points, gt), expected, rtol=1e-4, atol=1e-5)


def test_level_range_uses_the_largest_distance_but_that_to_the_top(make_problem):
    problem = make_problem()
    points, gt = problem.priors.points, problem.gt
    ranges = torch.tensor([[-1.0, 20], [20, 40], [40, float("inf")]])[torch.arange(60) % 3]
    outside = costs.outside_level_range(points, ranges, gt)
    for image, slot, sample in [(0, 0, 0), (0, 2, 31), (2, 4, 59), (2, 1, 17), (1, 0, 5)]:
        x, y = points[sample].tolist()
        x1, _, x2, y2 = gt.boxes[image, slot].tolist()
        low, high = ranges[sample].tolist()
        expected = not low <= max(x - x1, x2 - x, y2 - y) <= high
        assert outside[image, slot, sample].item() is expected
    assert outside.any() and not outside.all()
