import pytest
import torch
import torch.nn.functional as F
from fvcore.nn import sigmoid_focal_loss
from onenet import Assignment, GroundTruth, MinCost, Predictions
from onenet.assignment import IoUTargets
from onenet.criterion import CLASS_LOSSES, FocalLoss, MatchabilityAwareLoss
from onenet.criterion.focal_losses import negative_focal_loss
from onenet.geometry import elementwise_iou

from .pairs import SCORES, SHARED, make_pairs

pytestmark = pytest.mark.numeric


def class_loss(loss, logits, assignment, gt, normalizer=1.0):
    predictions = Predictions(logits, None)
    return loss(None, predictions, assignment, gt, torch.as_tensor(normalizer))["loss_ce"]


def with_grad(function, logits):
    logits = logits.clone().requires_grad_()
    loss = function(logits)
    return loss.detach(), torch.autograd.grad(loss, logits)[0]


def cross_entropy(logits, target):
    return F.binary_cross_entropy_with_logits(logits, target, reduction="none")


def varifocal(logits, target, weight):
    weight = torch.where(target > 0, weight, 0.75 * logits.sigmoid().square())
    return weight * cross_entropy(logits, target)


# The loss of each element by its definition, for logits, targets and whether there is a pair.
NAIVE = {
    "focal": lambda x, t, _: sigmoid_focal_loss(x, t, alpha=0.25, gamma=2.0),
    "quality_focal": lambda x, t, _: (t - x.sigmoid()).abs().square() * cross_entropy(x, t),
    "varifocal": lambda x, t, _: varifocal(x, t, t),
    "varifocal_unweighted": lambda x, t, _: varifocal(x, t, torch.ones_like(t)),
    "bce": lambda x, t, _: cross_entropy(x, t),
    "mal": lambda x, t, paired: (
        torch.where(paired, 1, x.detach().sigmoid() ** 1.5) * cross_entropy(x, t**1.5)
    ),
}


def naive_class_loss(name, logits, assignment, gt):
    """Dense targets, filled in a loop, and the loss of each element."""
    target, paired = torch.zeros_like(logits), torch.zeros_like(logits, dtype=torch.bool)
    for image, slot in assignment.positive.nonzero().tolist():
        index = image, assignment.sample[image, slot], gt.labels[image, assignment.gt[image, slot]]
        target[index] = torch.maximum(target[index], assignment.score[image, slot])
        paired[index] = True
    loss = NAIVE[name](logits, target, paired)
    return (loss if assignment.cls_weight is None else loss * assignment.cls_weight).sum()


@pytest.mark.parametrize("name", NAIVE)
@pytest.mark.parametrize("score", [None, SCORES])
@pytest.mark.parametrize("classes", [None, 1, 4])
def test_loss_of_dense_targets(problem, name, score, classes):
    cls_weight = None if classes is None else torch.rand(3, 60, classes).round(decimals=1)
    assignment = make_pairs(**SHARED, score=score, cls_weight=cls_weight)
    expected, expected_grad = with_grad(
        lambda logits: naive_class_loss(name, logits, assignment, problem.gt),
        problem.predictions.logits,
    )
    loss = CLASS_LOSSES[name](weight=1.0)
    actual, grad = with_grad(
        lambda logits: class_loss(loss, logits, assignment, problem.gt), problem.predictions.logits
    )
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=0)
    torch.testing.assert_close(grad, expected_grad, rtol=1e-4, atol=1e-6)


def one_image(case):
    """The elements of a case of losses2.npz as one image: each sample with a label has a pair."""
    count, classes = case["logits"].shape
    gt = GroundTruth(
        boxes=torch.zeros(1, count, 4),
        labels=case["labels"].clamp(max=classes - 1)[None],
        valid=torch.ones(1, count, dtype=torch.bool),
        image_size=torch.ones(1, 2),
    )
    index = torch.arange(count)[None]
    weight = (case["labels"] < classes).float()[None]
    return Assignment(index, index, weight, case["quality"][None]), gt


REFERENCE = {
    "qfl": ("quality_focal", lambda t, positives: 1.0),
    "vfl": ("varifocal", lambda t, positives: 1.0),
    "vfl_not_weighted": ("varifocal_unweighted", lambda t, positives: 1.0),
    "bce_soft": ("bce", lambda t, positives: t.sum().clamp(min=1)),
    "mal": ("mal", lambda t, positives: positives.sum().clamp(min=1)),
}


@pytest.mark.golden("losses2")
@pytest.mark.parametrize("key", [*REFERENCE, "mal_alpha"])
def test_loss_and_gradient_of_the_reference(case, key):
    assignment, gt = one_image(case)
    if key == "mal_alpha":
        loss, normalizer = MatchabilityAwareLoss(weight=1.0, alpha=0.75), REFERENCE["mal"][1]
    else:
        name, normalizer = REFERENCE[key]
        loss = CLASS_LOSSES[name](weight=1.0)
    denominator = normalizer(assignment.score * assignment.positive, assignment.positive)
    actual, grad = with_grad(
        lambda logits: class_loss(loss, logits[None], assignment, gt, denominator), case["logits"]
    )
    expected = case[key] if key in case else case[f"{key}_each"].sum().item()
    assert actual.item() == pytest.approx(expected, rel=1e-4, abs=3e-5)
    expected = case[f"{key}_grad"]
    atol = 1e-5 * expected.abs().max().item()
    torch.testing.assert_close(grad, expected, rtol=1e-3, atol=atol)


@pytest.mark.golden("o2f")
@pytest.mark.parametrize("epoch", ["t06", "t02"])
def test_one_to_few_is_trained_as_its_reference(case, epoch):
    logits, centerness = case["logits"], case["centerness_logits"]
    sample = case["pos_idx"]
    index = case["matched_gt"][sample]
    cls_weight = torch.ones(1, *logits.shape)
    cls_weight[0, sample, case["gt_classes"][index]] = case["soft_weight"]
    assignment = Assignment(
        sample[None], index[None], torch.ones(1, len(sample)), case[f"soft_label_{epoch}"][None],
        cls_weight,
    )  # fmt: skip
    boxes, labels = case["gt_boxes"][None], case["gt_classes"][None]
    gt = GroundTruth(boxes, labels, torch.ones_like(labels, dtype=torch.bool), torch.ones(1, 2))
    loss = CLASS_LOSSES["varifocal_unweighted"](weight=1.0)
    leaves = logits.clone().requires_grad_(), centerness.clone().requires_grad_()
    joint = Predictions(leaves[0][None], None, leaves[1][None]).joint()
    actual = class_loss(loss, joint.logits, assignment, gt, max(1, len(sample)))
    assert actual.item() == pytest.approx(case[f"loss_cls_{epoch}"], rel=1e-4)
    grads = torch.autograd.grad(actual, leaves)
    for name, grad in zip(("logits", "centerness"), grads, strict=True):
        expected = case[f"loss_cls_{epoch}_grad_{name}"]
        atol = 1e-5 * expected.abs().max().item()
        torch.testing.assert_close(grad, expected, rtol=1e-3, atol=atol)


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


@pytest.mark.parametrize("name", CLASS_LOSSES)
def test_only_pairs_gain_by_a_higher_score(problem, name):
    assignment = make_pairs(**SHARED, score=SCORES)
    _, grad = with_grad(
        lambda logits: class_loss(CLASS_LOSSES[name](), logits, assignment, problem.gt),
        problem.predictions.logits,
    )
    rising = {tuple(index) for index in (grad < 0).nonzero().tolist()}
    assert rising <= {(0, 7, 1), (0, 7, 2), (2, 59, 0), (2, 3, 3)}
    assert (0, 7, 1) in rising


@pytest.mark.parametrize("name", CLASS_LOSSES)
def test_ignored_samples_cost_nothing(problem, name):
    cls_weight = torch.ones(3, 60, 1)
    cls_weight[:, 30:] = 0
    assignment = make_pairs(**SHARED, cls_weight=cls_weight)
    _, grad = with_grad(
        lambda logits: class_loss(CLASS_LOSSES[name](), logits, assignment, problem.gt),
        problem.predictions.logits,
    )
    assert (grad[:, 30:] == 0).all() and (grad[:, :30] != 0).all()


@pytest.mark.parametrize("name", CLASS_LOSSES)
@pytest.mark.parametrize("value", [-1e4, 1e4])
@pytest.mark.parametrize("score", [None, SCORES])
def test_extreme_logits_have_a_finite_loss_and_gradient(problem, name, value, score):
    assignment = make_pairs(**SHARED, score=score)
    loss, grad = with_grad(
        lambda logits: class_loss(CLASS_LOSSES[name](), logits, assignment, problem.gt),
        torch.full((3, 60, 4), value),
    )
    assert loss.isfinite() and grad.isfinite().all()


@pytest.mark.parametrize("name", CLASS_LOSSES)
def test_strided_logits(problem, name):
    logits = problem.predictions.logits
    strided = logits.transpose(1, 2).contiguous().transpose(1, 2)
    assignment, loss = make_pairs(**SHARED, score=SCORES), CLASS_LOSSES[name]()
    expected = class_loss(loss, logits, assignment, problem.gt)
    actual = class_loss(loss, strided, assignment, problem.gt)
    torch.testing.assert_close(actual, expected)


def test_weight_and_denominator(problem):
    arguments = problem.predictions.logits, make_pairs(**SHARED), problem.gt
    plain = class_loss(FocalLoss(weight=1.0), *arguments)
    assert class_loss(FocalLoss(weight=6.0), *arguments, 4.0) == pytest.approx(1.5 * plain.item())


@pytest.mark.parametrize("name", CLASS_LOSSES)
def test_class_losses_do_not_synchronise(make_problem, name):
    problem = make_problem().to("meta")
    logits = problem.predictions.logits.requires_grad_()
    assignment = MinCost()(problem.priors, problem.predictions.detach(), problem.gt)
    normalizer = torch.ones((), device="meta")
    loss = CLASS_LOSSES[name]().to("meta")
    class_loss(loss, logits, assignment, problem.gt, normalizer).backward()
    assert logits.grad.shape == (3, 60, 4)


def test_iou_targets(problem):
    problem.predictions.boxes[0, 2] = float("nan")  # the sample of an unused slot
    assignment = make_pairs(**SHARED)
    targets = IoUTargets()(assignment, problem.priors, problem.predictions, problem.gt)
    for image, slot in assignment.positive.nonzero().tolist():
        box = problem.predictions.boxes[image, assignment.sample[image, slot]]
        iou = elementwise_iou(box, problem.gt.boxes[image, assignment.gt[image, slot]])
        assert targets.score[image, slot] == iou
    assert targets.score.isfinite().all()
    assert targets.weight is assignment.weight
