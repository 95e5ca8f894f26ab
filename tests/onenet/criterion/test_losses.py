import pytest
import torch
from onenet import MinCost, Predictions
from onenet.criterion import BOX_LOSSES, CenternessLoss
from onenet.criterion.quality_losses import centerness
from onenet.geometry import elementwise_ciou, elementwise_diou, elementwise_iou
from torchvision.ops import (
    complete_box_iou_loss,
    distance_box_iou_loss,
    generalized_box_iou_loss,
)

from .pairs import SHARED, make_pairs

pytestmark = pytest.mark.numeric

OVERLAP_LOSSES = {
    "l1_giou": generalized_box_iou_loss,
    "l1_diou": distance_box_iou_loss,
    "l1_ciou": complete_box_iou_loss,
}


def box_losses(name, predictions, assignment, gt):
    """The loss of the overlap and the L1 loss."""
    loss = BOX_LOSSES[name](l1_weight=1.0, giou_weight=1.0)
    losses = loss(None, predictions, assignment, gt, torch.ones((), device=gt.boxes.device))
    return losses[f"loss_{name.removeprefix('l1_')}"], losses["loss_bbox"]


def quality_loss(predictions, assignment, gt, priors):
    one = torch.ones((), device=gt.boxes.device)
    return CenternessLoss()(priors, predictions, assignment, gt, one)["loss_quality"]


@pytest.mark.parametrize("name", OVERLAP_LOSSES)
def test_box_losses_are_weighted_sums_over_the_pairs(problem, name):
    assignment = make_pairs(**SHARED)
    boxes = problem.predictions.boxes.requires_grad_()
    overlap, l1 = box_losses(name, problem.predictions, assignment, problem.gt)
    expected_overlap = expected_l1 = 0.0
    for image, slot in assignment.positive.nonzero().tolist():
        box = boxes[image, assignment.sample[image, slot]]
        target = problem.gt.boxes[image, assignment.gt[image, slot]]
        weight = assignment.weight[image, slot]
        expected_overlap += weight * OVERLAP_LOSSES[name](box, target)
        expected_l1 += weight * ((box - target) / problem.gt.scale[image, 0]).abs().sum()
    torch.testing.assert_close(overlap, expected_overlap)
    torch.testing.assert_close(l1, expected_l1)
    expected = torch.autograd.grad(expected_overlap + expected_l1, boxes)
    torch.testing.assert_close(torch.autograd.grad(overlap + l1, boxes), expected)


@pytest.mark.golden("extras", kind="boxloss")
def test_distance_and_complete_iou_of_the_reference(case):
    boxes, targets = case["pred"], case["target"]
    actual = 1 - elementwise_diou(boxes, targets)
    torch.testing.assert_close(actual, case["diou"], rtol=1e-4, atol=3e-5)
    # The reference has the term of the aspect ratio above an IoU of 0.5 alone (and NaN, stored as
    # 0, where boxes are equal).
    close = elementwise_iou(boxes, targets) > 0.5
    assert close.any()
    actual = 1 - elementwise_ciou(boxes, targets)[close]
    torch.testing.assert_close(actual, case["ciou"][close], rtol=1e-4, atol=3e-5)


@pytest.mark.parametrize("name", OVERLAP_LOSSES)
def test_what_unused_slots_point_at_does_not_matter(problem, name):
    boxes = problem.predictions.boxes
    boxes[0, 2] = boxes[1, 0] = float("nan")  # the unused slots' samples
    boxes.requires_grad_()
    quality = torch.full((3, 60), float("nan"))
    quality[0, 7] = quality[2] = 0.5
    predictions = Predictions(problem.predictions.logits, boxes, quality.requires_grad_())
    assignment = make_pairs(**SHARED)
    total = sum(box_losses(name, predictions, assignment, problem.gt))
    total = total + quality_loss(predictions, assignment, problem.gt, problem.priors)
    assert total.isfinite()
    for grad in torch.autograd.grad(total, (boxes, quality)):
        assert grad.isfinite().all()


@pytest.mark.parametrize("name", OVERLAP_LOSSES)
def test_boxes_without_area_have_a_finite_loss_and_gradient(problem, name):
    points = problem.priors.points
    boxes = torch.cat([points, points], dim=1).repeat(3, 1, 1).requires_grad_()
    problem.gt.boxes[0, 0] = boxes[0, 7].detach()
    predictions = Predictions(problem.predictions.logits, boxes)
    overlap, l1 = box_losses(name, predictions, make_pairs(**SHARED), problem.gt)
    (grad,) = torch.autograd.grad(overlap + l1, boxes)
    assert overlap.isfinite() and l1.isfinite() and grad.isfinite().all()


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
    assignment = make_pairs([[4, 9]], [[0, 1]], weight=[[2.0, 0.0]])
    loss = quality_loss(problem.predictions, assignment, problem.gt, problem.priors)
    # The point is the centre, so the target is 1.
    expected = -2 * torch.nn.functional.logsigmoid(problem.predictions.quality[0, 4])
    torch.testing.assert_close(loss, expected)


@pytest.mark.parametrize("name", OVERLAP_LOSSES)
def test_losses_do_not_synchronise(make_problem, name):
    problem = make_problem(quality=True).to("meta")
    arguments = problem.priors, problem.predictions, problem.gt
    problem.predictions.boxes.requires_grad_()
    assignment = MinCost()(*arguments)
    total = sum(box_losses(name, problem.predictions, assignment, problem.gt))
    total = total + quality_loss(problem.predictions, assignment, problem.gt, problem.priors)
    total.backward()
    assert problem.predictions.boxes.grad.shape == (3, 60, 4)
