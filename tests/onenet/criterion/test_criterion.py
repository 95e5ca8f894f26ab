from dataclasses import replace

import pytest
import torch
from onenet import Assignment, Criterion, GroundTruth, MinCost, Predictions, Priors
from onenet.criterion import (
    BOX_LOSSES,
    CLASS_LOSSES,
    CenternessLoss,
    FocalLoss,
    L1GIoULoss,
    Normalizer,
)
from onenet.criterion import normalizer as normalizer_module

pytestmark = pytest.mark.numeric

UNWEIGHTED = {"class_weight": 1, "l1_weight": 1, "giou_weight": 1}


def make_criterion(
    assigner=None, class_weight=2.0, l1_weight=5.0, giou_weight=2.0, quality_weight=1.0
):
    losses = (
        FocalLoss(weight=class_weight),
        L1GIoULoss(l1_weight=l1_weight, giou_weight=giou_weight),
        CenternessLoss(weight=quality_weight),
    )
    return Criterion(assigner=assigner or MinCost(), losses=losses)


ASSIGNERS = {
    "argmin": MinCost(),
    "hungarian": MinCost(solver="hungarian"),
    "noclass": MinCost(class_weight=0),
}


def batch(cases):
    """Reference cases of one size as a batch."""
    counts = torch.tensor([len(case["gt_boxes"]) for case in cases])
    slots = max(1, counts.max())

    def pad(values):
        return torch.stack(
            [torch.cat([v, v.new_zeros(slots - len(v), *v.shape[1:])]) for v in values]
        )

    gt = GroundTruth(
        boxes=pad([case["gt_boxes"] for case in cases]),
        labels=pad([case["gt_classes"] for case in cases]),
        valid=torch.arange(slots) < counts[:, None],
        image_size=torch.stack([case["image_size_wh"].flip(0).float() for case in cases]),
    )
    predictions = Predictions(
        torch.stack([case["logits"] for case in cases]),
        torch.stack([case["pred_boxes"] for case in cases]),
    )
    return predictions, gt


def reference_losses(cases, solver):
    predictions, gt = batch(cases)
    # With predicted boxes the assigner has no use for the priors but their number.
    point = torch.zeros(predictions.logits.shape[1])
    boxes, points = point[:, None].expand(-1, 4), point[:, None].expand(-1, 2)
    priors = Priors(boxes, points, point, point.long(), (len(point),))
    criterion = make_criterion(ASSIGNERS[solver], **UNWEIGHTED)
    assignment = with_one_class_a_sample(criterion.assign(priors, predictions, gt))
    return criterion.weigh(priors, predictions, gt, assignment)


def with_one_class_a_sample(assignment):
    """The targets of the reference: of the ground truths that share a sample, the last one's class.

    Here a sample is trained towards the classes of all of them.
    """
    same = assignment.sample[:, :, None] == assignment.sample[:, None]
    later = torch.ones_like(same).triu(diagonal=1) & assignment.positive[:, None]
    return replace(assignment, score=1 - (same & later).any(dim=2).float())


def assert_losses(losses, expected, solver):
    for name in ("ce", "giou", "bbox"):
        assert losses[f"loss_{name}"].item() == pytest.approx(
            expected[f"{solver}_loss_{name}"], rel=1e-5, abs=1e-6
        )


@pytest.mark.golden("onenet_min_cost")
@pytest.mark.parametrize("solver", ASSIGNERS)
def test_losses_of_the_reference(case, solver):
    assert_losses(reference_losses([case], solver), case, solver)


@pytest.mark.golden("onenet_min_cost", kind="group")
@pytest.mark.parametrize("solver", ASSIGNERS)
def test_batch_losses_of_the_reference(case, golden_cases, solver):
    all_cases = golden_cases("onenet_min_cost")
    images = [all_cases[index] for index in case["cases"]]
    assert_losses(reference_losses(images, solver), case, solver)


@pytest.mark.golden("onenet_predefine")
def test_losses_with_predefined_locations_use_the_predicted_boxes(case):
    predictions, gt = batch([case])
    count = len(case["gt_boxes"])
    sample, index = torch.zeros(1, max(1, count)).long(), torch.zeros(1, max(1, count)).long()
    sample[0, :count], index[0, :count] = case["src_ind"], case["tgt_ind"]
    assignment = Assignment(sample, index, gt.valid.float(), torch.ones(sample.shape))
    losses = make_criterion(**UNWEIGHTED).weigh(None, predictions, gt, assignment)
    assert_losses(losses, {f"hungarian_{k}": v for k, v in case.items()}, "hungarian")


def test_weights_and_names(make_problem):
    problem = make_problem(quality=True)
    arguments = vars(problem).values()
    plain = make_criterion(**UNWEIGHTED)(*arguments)
    weights = {"class_weight": 3, "l1_weight": 4, "giou_weight": 5, "quality_weight": 6}
    weighted = make_criterion(**weights)(*arguments)
    factors = {"loss_ce": 3, "loss_bbox": 4, "loss_giou": 5, "loss_quality": 6}
    assert weighted.keys() == plain.keys() == factors.keys()
    for name, factor in factors.items():
        assert weighted[name].item() == pytest.approx(factor * plain[name].item())
        assert weighted[name].dtype == torch.float32 and weighted[name].dim() == 0


def test_config_keys(tiny_cfg):
    names = ("CLASS_WEIGHT", "L1_WEIGHT", "GIOU_WEIGHT", "CENTERNESS_WEIGHT", "ALPHA", "GAMMA")
    options = [x for i, name in enumerate(names) for x in (f"MODEL.OneNet.{name}", 0.5 + i)]
    focal, boxes, quality = Criterion(tiny_cfg("CenterNet", *options)).losses
    assert (focal.weight, boxes.l1_weight, boxes.giou_weight) == (0.5, 1.5, 2.5)
    assert (quality.weight, focal.alpha, focal.gamma) == (3.5, 4.5, 5.5)


@pytest.mark.parametrize("name", CLASS_LOSSES)
def test_class_losses_by_name(tiny_cfg, name):
    options = "MODEL.OneNet.CLASS_LOSS", name, "MODEL.OneNet.CLASS_WEIGHT", 0.5
    loss = Criterion(tiny_cfg("CenterNet", *options)).losses[0]
    assert type(loss) is CLASS_LOSSES[name] and loss.weight == 0.5


@pytest.mark.parametrize("name", BOX_LOSSES)
def test_box_losses_by_name(tiny_cfg, name):
    loss = Criterion(tiny_cfg("CenterNet", "MODEL.OneNet.BOX_LOSS", name)).losses[1]
    assert type(loss) is BOX_LOSSES[name]


def test_class_targets_by_name(tiny_cfg, make_problem):
    arguments = vars(make_problem()).values()
    hard = Criterion(tiny_cfg("CenterNet")).assign(*arguments)
    soft = Criterion(tiny_cfg("CenterNet", "MODEL.OneNet.CLASS_TARGET", "iou")).assign(*arguments)
    assert (hard.score == 1).all() and (soft.score < 1).all()
    assert torch.equal(hard.sample, soft.sample)


def unused(weight=0.0, **kwargs):
    index = torch.zeros(2, 3, dtype=torch.int64)
    return Assignment(index, index, torch.full((2, 3), weight), torch.ones(2, 3), **kwargs)


def test_normalizer_is_the_number_of_objects_unless_the_assigner_says_otherwise(make_problem):
    assert Normalizer()(unused(), make_problem(objects=(3, 2)).gt) == 5
    assert Normalizer()(unused(), make_problem(objects=(0, 0)).gt) == 1
    some = unused(normalizer=torch.tensor(7.5))
    assert Normalizer()(some, make_problem(objects=(3, 2)).gt) == 7.5


def test_normalizer_is_global(make_problem, monkeypatch):
    # Two processes with 3 and 5 objects: gradients are averaged over the two, so each divides by 4.
    monkeypatch.setattr(normalizer_module.comm, "get_world_size", lambda: 2)
    monkeypatch.setattr(normalizer_module.dist, "all_reduce", lambda total: total.add_(5))
    own = torch.tensor(3.0)
    assert Normalizer()(unused(normalizer=own), make_problem(objects=(1,)).gt) == 4
    assert own == 3
    assert Normalizer()(unused(), make_problem(objects=(3,)).gt) == 4
    monkeypatch.setattr(normalizer_module.dist, "all_reduce", lambda total: None)
    assert Normalizer()(unused(), make_problem(objects=(0,)).gt) == 0.5


@pytest.mark.parametrize("solver", ["argmin", "hungarian"])
@pytest.mark.parametrize("objects", [(0, 0), (3, 0), (9, 2)])
@pytest.mark.parametrize("logit", [None, -1e4, 1e4])
def test_losses_and_gradients_are_finite(make_problem, solver, objects, logit):
    problem = make_problem(objects=objects, samples=5, quality=True)  # fewer samples than objects
    problem.gt.boxes[0, 0, 2:] = problem.gt.boxes[0, 0, :2]  # no area
    problem.gt.boxes[-1] += 1000 * problem.gt.valid[-1][:, None]  # outside of all samples
    if logit is not None:
        problem.predictions.logits[:] = logit
    leaves = [x for x in vars(problem.predictions).values() if x is not None]
    for leaf in leaves:
        leaf.requires_grad_()
    losses = make_criterion(MinCost(solver=solver))(*vars(problem).values())
    assert all(loss.isfinite() for loss in losses.values())
    for grad in torch.autograd.grad(sum(losses.values()), leaves):
        assert grad.isfinite().all()


def test_criterion_does_not_synchronise(make_problem):
    problem = make_problem(quality=True).to("meta")
    losses = make_criterion()(*vars(problem).values())
    assert all(loss.device.type == "meta" for loss in losses.values())
