import pytest
import torch
import torch.nn.functional as F
from detectron2.modeling.box_regression import Box2BoxTransform
from onenet import MinCost, Predictions
from onenet.criterion import BOX_LOSSES
from onenet.criterion.side_losses import balanced_l1, bounded_iou, offset_difference

from .pairs import SHARED, make_pairs

pytestmark = pytest.mark.numeric

NAMES = ["smooth_l1", "balanced_l1", "bounded_iou", "ghm_r"]


def total(name, problem, assignment, boxes=None, normalizer=1.0):
    predictions = Predictions(problem.predictions.logits, boxes)
    (loss,) = BOX_LOSSES[name](weight=1.0)(
        problem.priors, predictions, assignment, problem.gt, torch.as_tensor(normalizer)
    ).values()
    return loss


@pytest.mark.golden("extras", kind="balanced")
def test_balanced_l1_of_the_reference(case):
    difference = case["l1_pred"] - case["l1_target"]
    torch.testing.assert_close(balanced_l1(difference), case["l1_default"], rtol=1e-4, atol=3e-5)
    actual = balanced_l1(difference, alpha=0.25, gamma=1.0, beta=1 / 3)
    torch.testing.assert_close(actual, case["l1_beta_third"], rtol=1e-4, atol=3e-5)


@pytest.mark.golden("extras", kind="boxloss")
def test_bounded_iou_of_the_reference(case):
    actual = bounded_iou(case["pred"], case["target"])
    torch.testing.assert_close(actual, case["bounded_iou"], rtol=1e-4, atol=3e-5)


@pytest.mark.parametrize("alpha, gamma", [(0.5, 1.5), (0.25, 1.0)])
def test_gradient_of_balanced_l1_is_that_of_the_paper(alpha, gamma):
    difference = torch.tensor([-3.0, -0.9, -0.2, 0.05, 0.3, 2.0, 1e30], requires_grad=True)
    (grad,) = torch.autograd.grad(balanced_l1(difference, alpha, gamma).sum(), difference)
    size = difference.detach().abs()
    b = torch.exp(torch.tensor(gamma / alpha)) - 1
    expected = torch.where(size < 1, alpha * (b * size + 1).log(), gamma)
    torch.testing.assert_close(grad, expected * difference.detach().sign())


def test_offsets_are_those_of_detectron2(problem):
    boxes, targets = problem.predictions.boxes[0], problem.predictions.boxes[2]
    transform = Box2BoxTransform(weights=(10.0, 10.0, 5.0, 5.0))
    priors = problem.priors.boxes
    expected = transform.get_deltas(priors, boxes) - transform.get_deltas(priors, targets)
    actual = offset_difference(boxes, targets, priors)
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4)


EACH = {
    "smooth_l1": lambda *boxes: F.smooth_l1_loss(
        offset_difference(*boxes), torch.zeros(4), reduction="sum"
    ),
    "balanced_l1": lambda *boxes: balanced_l1(offset_difference(*boxes)).sum(),
    "bounded_iou": lambda box, target, _: bounded_iou(box, target).sum(),
}


@pytest.mark.parametrize("name", EACH)
def test_sum_over_the_pairs(problem, name):
    assignment, expected = make_pairs(**SHARED), 0.0
    for image, slot in assignment.positive.nonzero().tolist():
        sample = assignment.sample[image, slot]
        box = problem.predictions.boxes[image, sample]
        target = problem.gt.boxes[image, assignment.gt[image, slot]]
        loss = EACH[name](box, target, problem.priors.boxes[sample])
        expected += assignment.weight[image, slot] * loss
    actual = total(name, problem, assignment, problem.predictions.boxes, normalizer=4.0)
    torch.testing.assert_close(actual, expected / 4)


@pytest.mark.parametrize("name", NAMES)
def test_what_unused_slots_point_at_does_not_matter(problem, name):
    boxes = problem.predictions.boxes
    boxes[0, 2] = boxes[1, 0] = float("nan")
    boxes.requires_grad_()
    loss = total(name, problem, make_pairs(**SHARED), boxes)
    (grad,) = torch.autograd.grad(loss, boxes)
    assert loss > 0 and grad.isfinite().all()
    used = [(0, 7), (2, 59), (2, 3)]
    assert {tuple(x) for x in grad.any(dim=-1).nonzero().tolist()} == set(used)


@pytest.mark.parametrize("name", NAMES)
def test_boxes_without_area_and_no_positive(problem, name):
    points = problem.priors.points
    boxes = torch.cat([points, points], dim=1).repeat(3, 1, 1).requires_grad_()
    problem.gt.boxes[0, 0] = boxes[0, 7].detach()
    loss = total(name, problem, make_pairs(**SHARED), boxes)
    (grad,) = torch.autograd.grad(loss, boxes)
    assert loss.isfinite() and grad.isfinite().all()
    none = make_pairs(**{**SHARED, "weight": [[0.0] * 4] * 3})
    assert total(name, problem, none, boxes) == 0


@pytest.mark.parametrize("name", NAMES)
def test_does_not_synchronise(make_problem, name):
    problem = make_problem().to("meta")
    boxes = problem.predictions.boxes.requires_grad_()
    assignment = MinCost()(problem.priors, problem.predictions.detach(), problem.gt)
    arguments = problem.priors, problem.predictions, assignment, problem.gt
    loss = BOX_LOSSES[name]().to("meta")
    sum(loss(*arguments, torch.ones((), device="meta")).values()).backward()
    assert boxes.grad.shape == (3, 60, 4)
