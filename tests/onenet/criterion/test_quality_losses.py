import pytest
import torch
from onenet.criterion import (
    CenternessLoss,
    FocalLoss,
    IoULoss,
    ObjectnessLoss,
    build_losses,
)
from onenet.criterion.quality_losses import ClassesOfObjects
from onenet.errors import ConfigError
from onenet.geometry import elementwise_iou
from torch.nn.functional import binary_cross_entropy_with_logits

from .pairs import SHARED, make_pairs

pytestmark = pytest.mark.numeric


@pytest.fixture
def problem(make_problem):
    return make_problem(objects=(4, 0, 4), quality=True)


def loss_of(loss, problem, assignment, normalizer=1.0):
    (value,) = loss(
        problem.priors, problem.predictions, assignment, problem.gt, torch.tensor(normalizer)
    ).values()
    return value


def cross_entropy(logit, target):
    return binary_cross_entropy_with_logits(logit, torch.as_tensor(target))


def test_iou_of_the_predicted_box_has_no_gradient(problem):
    boxes = problem.predictions.boxes.requires_grad_()
    assignment, expected = make_pairs(**SHARED, num_samples=60), 0.0
    for image, slot in assignment.positive.nonzero().tolist():
        sample = assignment.sample[image, slot]
        target = problem.gt.boxes[image, assignment.gt[image, slot]]
        iou = elementwise_iou(boxes[image, sample], target)
        expected += cross_entropy(problem.predictions.quality[image, sample], iou.detach())
    actual = loss_of(IoULoss(weight=0.5), problem, assignment, 4.0)
    torch.testing.assert_close(actual, expected / 8)
    assert not actual.requires_grad


def test_objectness_is_one_at_pairs_and_zero_elsewhere(problem):
    cls_weight = torch.ones(3, 60, 1)
    cls_weight[:, 30:] = 0  # samples 59 and 30 .. 58: the former has a pair
    cls_weight[1, :5] = 0.5
    assignment = make_pairs(**SHARED, cls_weight=cls_weight)
    expected = 0.0
    for image in range(3):
        for sample in range(60):
            positive = (image, sample) in {(0, 7), (2, 3), (2, 59)}
            weight = 1.0 if positive else cls_weight[image, sample, 0]
            logit = problem.predictions.quality[image, sample]
            expected += weight * cross_entropy(logit, float(positive))
    torch.testing.assert_close(loss_of(ObjectnessLoss(), problem, assignment, 2.0), expected / 2)


def test_classes_learn_at_the_pairs_alone_beside_objectness(problem):
    logits = problem.predictions.logits.requires_grad_()
    assignment = make_pairs(**SHARED, num_samples=60)
    loss_of(ClassesOfObjects(FocalLoss()), problem, assignment).backward()
    rows = {tuple(x) for x in logits.grad.any(dim=-1).nonzero().tolist()}
    assert rows == {(0, 7), (2, 3), (2, 59)}


def test_classes_learn_everywhere_without_a_quality_branch(make_problem):
    problem = make_problem(objects=(4, 0, 4))
    assignment = make_pairs(**SHARED, num_samples=60)
    expected = loss_of(FocalLoss(), problem, assignment)
    assert loss_of(ClassesOfObjects(FocalLoss()), problem, assignment) == expected


@pytest.mark.parametrize(
    "target, rule, loss",
    [
        ("rule", "centerness", CenternessLoss),
        ("rule", "iou", IoULoss),
        ("rule", "objectness", ObjectnessLoss),
        ("iou", "objectness", IoULoss),
        ("objectness", "centerness", ObjectnessLoss),
    ],
)
def test_key_or_rule_decides(tiny_cfg, target, rule, loss):
    cfg = tiny_cfg("FCOS", "MODEL.OneNet.QUALITY_TARGET", target)
    classes, _, quality = build_losses(cfg, rule)
    assert type(quality) is loss
    assert isinstance(classes, ClassesOfObjects) == (loss is ObjectnessLoss)


def test_unknown_target(tiny_cfg):
    with pytest.raises(ConfigError, match='QUALITY_TARGET: unknown name "objects"'):
        build_losses(tiny_cfg("FCOS", "MODEL.OneNet.QUALITY_TARGET", "objects"))


@pytest.mark.parametrize("loss", [CenternessLoss, IoULoss, ObjectnessLoss])
def test_nothing_without_the_branch(make_problem, loss):
    problem = make_problem(objects=(4, 0, 4))
    assignment = make_pairs(**SHARED, num_samples=60)
    arguments = problem.priors, problem.predictions, assignment, problem.gt, torch.ones(())
    assert loss()(*arguments) == {}
