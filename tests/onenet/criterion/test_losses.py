import pytest
import torch
from fvcore.nn import sigmoid_focal_loss
from onenet import Assignment, MinCost, Predictions
from onenet.criterion.box_losses import box_losses
from onenet.criterion.class_losses import classification_loss, negative_focal_loss
from onenet.criterion.quality_losses import centerness, quality_loss
from torchvision.ops import generalized_box_iou_loss

pytestmark = pytest.mark.numeric


def pairs(sample, gt, weight=None, score=None, **kwargs):
    """An assignment from lists of one row an image."""
    sample = torch.tensor(sample)
    weight = torch.ones(sample.shape) if weight is None else torch.tensor(weight)
    score = torch.ones(sample.shape) if score is None else torch.tensor(score)
    return Assignment(sample, torch.tensor(gt), weight, score, **kwargs)


def naive_classification_loss(predictions, assignment, gt):
    """Dense targets, filled in a loop, and the loss of fvcore."""
    target = torch.zeros_like(predictions.logits)
    for image, slot in assignment.positive.nonzero().tolist():
        sample = assignment.sample[image, slot]
        label = gt.labels[image, assignment.gt[image, slot]]
        score = assignment.score[image, slot]
        target[image, sample, label] = torch.maximum(target[image, sample, label], score)
    loss = sigmoid_focal_loss(predictions.logits, target, alpha=0.25, gamma=2.0)
    return (loss if assignment.cls_weight is None else loss * assignment.cls_weight).sum()


# Of the three images one has no object; sample 7 is shared, twice for the same class.
SHARED = {
    "sample": [[7, 7, 7, 2], [0, 0, 0, 0], [59, 3, 3, 3]],
    "gt": [[0, 1, 2, 3], [0, 1, 2, 3], [3, 2, 1, 0]],
    "weight": [[1.0, 1.0, 0.5, 0.0], [0.0] * 4, [1.0, 2.0, 1.0, 1.0]],
}
SCORES = [[0.3, 0.9, 0.6, 0.8], [1.0] * 4, [0.5, 0.2, 0.7, 0.7]]


@pytest.fixture
def problem(make_problem):
    problem = make_problem(objects=(4, 0, 4))
    problem.gt.labels[0] = torch.tensor([1, 1, 2, 0])
    problem.gt.labels[2] = torch.tensor([3, 3, 3, 0])
    return problem


@pytest.mark.parametrize("score", [None, SCORES])
@pytest.mark.parametrize("classes", [None, 1, 4])
def test_classification_loss_is_the_focal_loss_of_dense_targets(problem, score, classes):
    cls_weight = None if classes is None else torch.rand(3, 60, classes).round(decimals=1)
    assignment = pairs(**SHARED, score=score, cls_weight=cls_weight)
    logits = problem.predictions.logits.clone().requires_grad_()
    expected = naive_classification_loss(Predictions(logits, None), assignment, problem.gt)
    (expected_grad,) = torch.autograd.grad(expected, logits)

    logits = problem.predictions.logits.clone().requires_grad_()
    predictions = Predictions(logits, problem.predictions.boxes)
    loss = classification_loss(predictions, assignment, problem.gt)
    (grad,) = torch.autograd.grad(loss, logits)
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=0)
    torch.testing.assert_close(grad, expected_grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("gamma", [2.0, 1.5])
@pytest.mark.parametrize("weighted", [False, True])
def test_gradient_of_the_negative_focal_loss(gamma, weighted):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 5, 3, dtype=torch.float64, generator=generator) * 4
    weight = torch.rand(2, 5, 1, dtype=torch.float64, generator=generator) if weighted else None
    logits.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: negative_focal_loss(x, weight, alpha=0.3, gamma=gamma), logits
    )
    expected = sigmoid_focal_loss(logits, torch.zeros_like(logits), alpha=0.3, gamma=gamma)
    expected = (expected if weight is None else expected * weight).sum()
    actual = negative_focal_loss(logits, weight, alpha=0.3, gamma=gamma)
    assert actual.item() == pytest.approx(expected.item(), rel=1e-5)


def test_gradient_of_the_classification_loss(problem):
    assignment = pairs(**SHARED, score=SCORES)
    logits = problem.predictions.logits.requires_grad_()
    loss = classification_loss(problem.predictions, assignment, problem.gt)
    (grad,) = torch.autograd.grad(loss, logits)
    # The only gradients that lower a loss by a higher score are those of the pairs.
    rising = {tuple(index) for index in (grad < 0).nonzero().tolist()}
    assert rising <= {(0, 7, 1), (0, 7, 2), (2, 59, 0), (2, 3, 3)}
    assert (0, 7, 1) in rising


def test_ignored_samples_cost_nothing(problem):
    cls_weight = torch.ones(3, 60, 1)
    cls_weight[:, 30:] = 0
    logits = problem.predictions.logits.requires_grad_()
    assignment = pairs(**SHARED, cls_weight=cls_weight)
    (grad,) = torch.autograd.grad(
        classification_loss(problem.predictions, assignment, problem.gt), logits
    )
    assert (grad[:, 30:] == 0).all() and (grad[:, :30] != 0).all()


@pytest.mark.parametrize("value", [-1e4, 1e4])
def test_extreme_logits_have_a_finite_loss_and_gradient(problem, value):
    logits = torch.full((3, 60, 4), value, requires_grad=True)
    predictions = Predictions(logits, problem.predictions.boxes)
    loss = classification_loss(predictions, pairs(**SHARED), problem.gt)
    (grad,) = torch.autograd.grad(loss, logits)
    assert loss.isfinite() and grad.isfinite().all()


def test_classification_loss_of_strided_logits(problem):
    strided = problem.predictions.logits.transpose(1, 2).contiguous().transpose(1, 2)
    assignment = pairs(**SHARED, score=SCORES)
    expected = classification_loss(problem.predictions, assignment, problem.gt)
    actual = classification_loss(Predictions(strided, None), assignment, problem.gt)
    torch.testing.assert_close(actual, expected)


def test_box_losses_are_weighted_sums_over_the_pairs(problem):
    assignment = pairs(**SHARED)
    boxes = problem.predictions.boxes.requires_grad_()
    giou, l1 = box_losses(problem.predictions, assignment, problem.gt)
    expected_giou = expected_l1 = 0.0
    for image, slot in assignment.positive.nonzero().tolist():
        box = boxes[image, assignment.sample[image, slot]]
        target = problem.gt.boxes[image, assignment.gt[image, slot]]
        weight = assignment.weight[image, slot]
        expected_giou += weight * generalized_box_iou_loss(box, target)
        expected_l1 += weight * ((box - target) / problem.gt.scale[image, 0]).abs().sum()
    torch.testing.assert_close(giou, expected_giou)
    torch.testing.assert_close(l1, expected_l1)
    expected = torch.autograd.grad(expected_giou + expected_l1, boxes)
    torch.testing.assert_close(torch.autograd.grad(giou + l1, boxes), expected)


def test_what_unused_slots_point_at_does_not_matter(problem):
    boxes = problem.predictions.boxes
    boxes[0, 2] = boxes[1, 0] = float("nan")  # the unused slots' samples
    boxes.requires_grad_()
    quality = torch.full((3, 60), float("nan"))
    quality[0, 7] = quality[2] = 0.5
    predictions = Predictions(problem.predictions.logits, boxes, quality.requires_grad_())
    assignment = pairs(**SHARED)
    total = sum(box_losses(predictions, assignment, problem.gt))
    total = total + quality_loss(predictions, assignment, problem.gt, problem.priors)
    assert total.isfinite()
    for grad in torch.autograd.grad(total, (boxes, quality)):
        assert grad.isfinite().all()


def test_boxes_without_area_have_a_finite_loss_and_gradient(problem):
    points = problem.priors.points
    boxes = torch.cat([points, points], dim=1).repeat(3, 1, 1).requires_grad_()
    problem.gt.boxes[0, 0] = boxes[0, 7].detach()
    predictions = Predictions(problem.predictions.logits, boxes)
    giou, l1 = box_losses(predictions, pairs(**SHARED), problem.gt)
    (grad,) = torch.autograd.grad(giou + l1, boxes)
    assert giou.isfinite() and l1.isfinite() and grad.isfinite().all()


def test_centerness():
    box = torch.tensor([0.0, 0, 10, 20])
    points = torch.tensor([[5.0, 10], [2, 10], [2, 5], [0, 10], [-1, 5], [5, 30]])
    expected = [1, (2 / 8) ** 0.5, (2 / 8 * 5 / 15) ** 0.5, 0, 0, 0]
    assert centerness(points, box).tolist() == pytest.approx(expected)
    assert centerness(torch.tensor([3.0, 3]), torch.tensor([3.0, 3, 3, 3])).item() == 0


@pytest.mark.golden("fcos")
def test_centerness_of_the_reference(case):
    for rule in ("center", "inside"):
        ltrb = case[f"ltrb_{rule}"]
        points = torch.full((len(ltrb), 2), 1000.0)
        boxes = torch.cat([points - ltrb[:, :2], points + ltrb[:, 2:]], dim=1)
        torch.testing.assert_close(
            centerness(points, boxes), case[f"centerness_{rule}"], rtol=1e-4, atol=1e-4
        )


def test_quality_loss_is_the_cross_entropy_of_the_centerness(make_problem):
    problem = make_problem(objects=(2,), quality=True)
    problem.gt.boxes[0, 0] = torch.cat([problem.priors.points[4] - 6, problem.priors.points[4] + 6])
    assignment = pairs([[4, 9]], [[0, 1]], weight=[[2.0, 0.0]])
    loss = quality_loss(problem.predictions, assignment, problem.gt, problem.priors)
    # The point is the centre, so the target is 1.
    expected = -2 * torch.nn.functional.logsigmoid(problem.predictions.quality[0, 4])
    torch.testing.assert_close(loss, expected)


def test_losses_do_not_synchronise(make_problem):
    problem = make_problem(quality=True).to("meta")
    arguments = problem.priors, problem.predictions, problem.gt
    problem.predictions.logits.requires_grad_()
    problem.predictions.boxes.requires_grad_()
    assignment = MinCost()(*arguments)
    total = classification_loss(problem.predictions, assignment, problem.gt)
    total = total + sum(box_losses(problem.predictions, assignment, problem.gt))
    total = total + quality_loss(problem.predictions, assignment, problem.gt, problem.priors)
    total.backward()
    assert problem.predictions.logits.grad.shape == (3, 60, 4)
