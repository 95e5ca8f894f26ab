from dataclasses import replace
from functools import partial

import assigners
import pytest
import torch
import torch.nn.functional as F
from detectron2.modeling import build_model
from onenet import Assignment, MinCost
from onenet.assignment.overlaps import largest_iou
from onenet.assignment.sampling import (
    OHEM,
    HardNegatives,
    IoUBalancedSampling,
    RandomSampling,
    first_in_order,
    hardest_first,
)
from onenet.criterion import SUBSAMPLERS, build_criterion, build_subsamplers
from onenet.errors import ConfigError
from onenet.randomness import seed_all
from torchvision.ops import box_iou

from ...waits import waits
from ..conftest import load_golden

pytestmark = pytest.mark.numeric

SECTION = "MODEL.OneNet.SUBSAMPLER."
TABLE = [row.tolist() for row in load_golden("samplers", "random")[0]["table"]]


def dense(matched):
    """The assignment of one image that is -1 where negative and -2 where ignored."""
    matched = matched[None]
    weight = (matched >= 0).float()
    return Assignment(
        sample=torch.arange(matched.shape[1])[None],
        gt=matched.clamp(min=0),
        weight=weight,
        score=torch.ones_like(weight),
        cls_weight=(matched != -2).float()[..., None],
        normalizer=weight.sum(),
    )


def counts(assignment):
    """Positives and negatives of each image that are trained."""
    gt = assignment.dense_gt()
    return (gt >= 0).sum(dim=1).tolist(), (gt == -1).sum(dim=1).tolist()


def sample(subsampler, assignment, problem):
    return subsampler(assignment, problem.priors, problem.predictions, problem.gt)


@pytest.mark.parametrize("row", TABLE)
def test_numbers_of_the_random_sampler(row, make_problem):
    negatives, positives, ignored, gts, added, limit, *expected = row
    positives += gts * added  # that the objects are samples too is nothing but more positives
    matched = torch.tensor([0] * positives + [-1] * negatives + [-2] * ignored)
    problem = make_problem(objects=(1,), samples=len(matched))
    subsampler = RandomSampling(negatives_per_positive=max(limit, 0))
    sampled = sample(subsampler, dense(matched), problem)
    assert counts(sampled) == ([expected[0]], [expected[1]])
    assert sampled.normalizer == sum(expected)
    assert (sampled.dense_gt()[0, matched == -2] == -2).all()


def in_order_of(loss):
    return loss[None].argsort(dim=1, descending=True, stable=True)


@pytest.mark.golden("samplers", kind="ohem")
def test_hardest_samples_of_the_reference(case, make_problem, monkeypatch):
    logits, labels = case["logits"], case["labels"]
    labels = torch.where(labels < 0, logits.shape[1] - 1, labels)  # background is the last class
    loss = F.cross_entropy(logits, labels, reduction="none")
    subsampler = OHEM(count=case["num"], positives=case["pos_fraction"])
    monkeypatch.setattr(subsampler, "order", lambda *_: in_order_of(loss))
    assignment = dense(case["assigned_gt"])
    problem = make_problem(objects=(1,), samples=len(loss))
    gt = sample(subsampler, assignment, problem).dense_gt()[0]
    assert (gt >= 0).nonzero()[:, 0].tolist() == sorted(case["pos_idx"].tolist())
    assert (gt == -1).nonzero()[:, 0].tolist() == sorted(case["neg_idx"].tolist())


@pytest.mark.golden("samplers", kind="ssd")
def test_hard_negatives_of_the_reference(case, make_problem, monkeypatch):
    background = case["logits"].shape[1] - 1
    matched = torch.where(case["labels"] == background, -1, 0)
    matched[case["label_weights"] == 0] = -2
    loss = case["loss_cls_each"]
    name = "onenet.assignment.sampling.hardest_first"
    monkeypatch.setattr(name, lambda *_: in_order_of(loss))
    problem = make_problem(objects=(1,), samples=len(loss))
    assignment = dense(matched)
    sampled = sample(HardNegatives(), assignment, problem)
    gt = sampled.dense_gt()[0]
    assert (gt == -1).nonzero()[:, 0].tolist() == sorted(case["kept_neg_idx"].tolist())
    assert (gt >= 0).equal(matched >= 0)
    assert sampled.normalizer is assignment.normalizer
    total = loss[gt != -2].sum() / max(1, (matched >= 0).sum())
    assert total.item() == pytest.approx(case["loss_cls"], rel=1e-5)


def in_bins(iou, chosen, floor, bins):
    edges = floor + (iou.max() - floor) / bins * torch.arange(bins + 1)
    inside = (iou >= edges[:-1, None]) & (iou < edges[1:, None])
    return (inside & chosen).sum(dim=1).tolist()


@pytest.mark.golden("samplers", kind="ioubal")
@pytest.mark.parametrize("step", [0, 1])
def test_iou_balanced_negatives_of_the_reference(case, step):
    iou, negative = case["max_iou"][None], case["assigned_gt"][None] == -1
    # What the reference does from its second step on, it is told to do here.
    floor = case["floor_thr"] if step == 0 else max(case["floor_thr"], 0.0)
    subsampler = IoUBalancedSampling(
        bins=case["num_bins"], floor=floor, floor_part=case["floor_fraction"]
    )
    most = torch.tensor([[case["num_expected_neg"]]])
    order = torch.rand(iou.shape).argsort(dim=1)
    chosen = subsampler.balance(order, negative, most, iou)
    assert chosen.sum() == case["sampled"][step]
    assert not (chosen & ~negative).any()
    expected = case["bin_counts"][step].tolist()
    if -1 in expected:  # there are not enough negatives for a choice
        assert chosen.equal(negative)
        return
    apart = iou < floor if floor > 0 else iou == floor
    places = (most * (1 - case["floor_fraction"])).long()
    binned = subsampler.in_bins(order, negative & ~apart, places, iou)
    assert in_bins(iou[0], binned[0], max(floor, 0.0), case["num_bins"]) == expected
    assert chosen[binned].all()


def test_places_of_empty_bins_are_filled_at_random():
    iou = torch.cat([torch.full((50,), 0.1), torch.full((2,), 0.45), torch.tensor([0.9])])[None]
    negative = iou < 0.5
    seen = torch.zeros_like(negative)
    for _ in range(20):
        order = torch.rand(iou.shape).argsort(dim=1)
        chosen = IoUBalancedSampling().balance(order, negative, torch.tensor([[12]]), iou)
        assert chosen.sum() == 12
        assert chosen[0, 50:52].all()  # alone in their bin
        seen |= chosen
    assert seen[0, :52].all()


def test_part_of_the_places_is_for_those_below_the_floor():
    iou = torch.linspace(0, 0.4, 101)[None]
    negative, most = torch.ones_like(iou, dtype=torch.bool), torch.tensor([[20]])
    order = torch.rand(iou.shape).argsort(dim=1)
    for part, expected in ((0.25, 5), (0.0, 0)):
        subsampler = IoUBalancedSampling(floor=0.1, floor_part=part)
        chosen = subsampler.balance(order, negative, most, iou)
        assert (chosen & (iou < 0.1)).sum() == expected
        assert chosen.sum() == 20


@pytest.mark.parametrize("max_pairs", [0, 7])
def test_largest_iou(problem, max_pairs):
    gt, boxes = problem.gt, problem.priors.boxes.clone()
    boxes[5] = float("nan")
    actual = largest_iou(boxes[None], gt, max_pairs)
    expected = torch.stack([box_iou(boxes, x).nan_to_num(0).amax(dim=1) for x in gt.boxes])
    expected[1] = 0  # the image without objects
    torch.testing.assert_close(actual, expected)
    assert (actual[0] > 0).any()


def test_first_in_order():
    order = torch.tensor([[3, 0, 2, 1], [0, 1, 2, 3]])
    candidate = torch.tensor([[True, True, False, True], [False, True, True, True]])
    first = partial(first_in_order, order, candidate)
    assert first(2).tolist() == [[True, False, False, True], [False, True, True, False]]
    assert first(9).equal(candidate)
    expected = [[False] * 4, [False, True, False, False]]
    assert first(torch.tensor([[-1], [1]])).tolist() == expected


def test_loss_that_orders_counts_every_class_once_with_its_weight(problem):
    logits = problem.predictions.logits
    cls_weight = torch.rand(3, 60, 4)
    assignment = replace(
        MinCost()(*vars(problem).values()), cls_weight=cls_weight, score=torch.full((3, 4), 0.7)
    )
    # Two ground truths of the same class and sample are one target.
    assignment.sample[0, 1] = assignment.sample[0, 0]
    target = torch.zeros_like(logits)
    for image, slot in assignment.positive.nonzero().tolist():
        label = problem.gt.labels[image, assignment.gt[image, slot]]
        target[image, assignment.sample[image, slot], label] = 0.7
    loss = F.binary_cross_entropy_with_logits(logits, target, cls_weight, reduction="none")
    expected = loss.sum(dim=-1).argsort(dim=1, descending=True)
    assert hardest_first(assignment, problem.predictions, problem.gt).equal(expected)


@pytest.fixture
def problem(make_problem):
    problem = make_problem(objects=(4, 0, 4))
    problem.gt.labels[0] = torch.tensor([1, 1, 2, 0])
    return problem


@pytest.mark.parametrize("name", SUBSAMPLERS)
def test_drawn_numbers_follow_from_the_seed(problem, name):
    assignment = MinCost()(*vars(problem).values())
    settings = {} if name == "hard_negatives" else {"count": 16}
    draws = []
    for seed in (1, 2, 1):
        seed_all(seed)
        draws.append(sample(SUBSAMPLERS[name](**settings), assignment, problem).dense_gt())
    assert draws[0].equal(draws[2])
    assert draws[0].equal(draws[1]) == (name in ("hard_negatives", "ohem"))


@pytest.mark.parametrize(
    "name, rule, head",
    [
        ("random", "MaxIoU", "RetinaNet"),
        ("iou_balanced", "TAL", "FCOS"),
        ("hard_negatives", "MinCost", "CenterNet"),
        ("ohem", "CenterNet", "FCOS"),
    ],
)
def test_any_rule_trains_with_any_subsampler(tiny_cfg, make_inputs, name, rule, head):
    cfg = tiny_cfg(head)
    assigners.add_assigners_config(cfg)
    cfg.MODEL.OneNet.ASSIGNER.NAME = rule
    cfg.MODEL.OneNet.SUBSAMPLER.NAME = name
    model = build_model(cfg).train()
    losses = model(make_inputs((2, 0)))
    sum(losses.values()).backward()
    assert all(loss.isfinite() for loss in losses.values())


@pytest.mark.parametrize("name", SUBSAMPLERS)
def test_does_not_synchronise(problem, to_device, name):
    meta = to_device(problem, "meta")
    assignment = MinCost()(*vars(meta).values())
    sampled = sample(SUBSAMPLERS[name](), assignment, meta)
    assert sampled.cls_weight.shape == (3, 60, 1)
    assignment = MinCost()(*vars(problem).values())
    assert waits(lambda: sample(SUBSAMPLERS[name](), assignment, problem)) == []


def test_criteria_with_losses_of_their_own_refuse_it(tiny_cfg):
    cfg = tiny_cfg("FCOS", f"{SECTION}NAME", "ohem")
    assigners.add_assigners_config(cfg)
    cfg.MODEL.OneNet.ASSIGNER.NAME = "FreeAnchor"
    with pytest.raises(ConfigError, match='SUBSAMPLER.NAME "ohem" .* set it to "all"'):
        build_criterion(cfg)


def test_keys_reach_the_subsampler(tiny_cfg):
    options = (f"{SECTION}NAME", "iou_balanced", f"{SECTION}COUNT", 64, f"{SECTION}FLOOR", 0.1)
    *_, subsampler = build_subsamplers(tiny_cfg("FCOS", *options))
    assert isinstance(subsampler, IoUBalancedSampling)
    assert (subsampler.count, subsampler.floor, subsampler.positives) == (64, 0.1, 0.25)
    assert len(build_subsamplers(tiny_cfg())) == 1


@pytest.mark.parametrize(
    "options, message",
    [
        (("NAME", "hard_negative"), 'Did you mean "hard_negatives"'),
        (("NAME", "hard_negatives", "COUNT", 8), "COUNT has no effect with SUBSAMPLER.NAME"),
        (("COUNT", 8), "set NAME to one of random, iou_balanced, ohem"),
        (("NAME", "random", "COUNT", 0), "COUNT must be positive, got 0"),
        (("NAME", "ohem", "POSITIVES", 1.5), "POSITIVES must be in (0, 1], got 1.5"),
        (("NAME", "random", "NEGATIVES_PER_POSITIVE", -1.0), "got -1.0"),
        (("NAME", "hard_negatives", "NEGATIVES_PER_POSITIVE", 0.0), "must be positive, got 0.0"),
        (("NAME", "iou_balanced", "BINS", 0), "BINS must be positive, got 0"),
        (("NAME", "iou_balanced", "FLOOR", -0.5), "FLOOR must be in [0, 1)"),
        (("NAME", "iou_balanced", "FLOOR_PART", 2.0), "FLOOR_PART must be in [0, 1], got 2.0"),
    ],
)
def test_bad_values_end_in_one_line(tiny_cfg, options, message):
    options = [f"{SECTION}{x}" if index % 2 == 0 else x for index, x in enumerate(options)]
    with pytest.raises(ConfigError) as caught:
        build_subsamplers(tiny_cfg("FCOS", *options))
    assert message in str(caught.value) and "\n" not in str(caught.value)
