from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onenet import ConfigError, GroundTruth, MinCost, Predictions, Priors, build_assigner
from onenet.assignment.min_cost import NON_FINITE_COST, WRONG_LEVEL_COST
from onenet.geometry import square_boxes
from scipy.optimize import linear_sum_assignment
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torchvision.ops import generalized_box_iou

pytestmark = pytest.mark.numeric

PIECES = (1 << 20, 777)  # pairs in memory at once; the result must not depend on it
SIZE_RANGES = [[-1, 64], [64, 128], [128, 256], [256, 512], [512, float("inf")]]


def golden_problem(case):
    """One image of the reference's cases."""
    width, height = case["image_size_wh"].tolist()
    slots = max(1, len(case["gt_boxes"]))
    boxes, labels = torch.zeros(1, slots, 4), torch.zeros(1, slots, dtype=torch.int64)
    boxes[0, : len(case["gt_boxes"])] = case["gt_boxes"]
    labels[0, : len(case["gt_boxes"])] = case["gt_classes"]
    gt = GroundTruth(
        boxes, labels, (torch.arange(slots) < len(case["gt_boxes"]))[None],
        torch.tensor([[height, width]], dtype=torch.float32),
    )  # fmt: skip
    return golden_priors(case), Predictions(case["logits"][None], case["pred_boxes"][None]), gt


def golden_priors(case):
    count = len(case["logits"])
    boxes = case.get("anchors")
    points = case["centers"] if boxes is None else (boxes[:, :2] + boxes[:, 2:]) / 2
    stride = torch.full((count,), 4.0)
    boxes = square_boxes(points, 8 * stride) if boxes is None else boxes
    level = case.get("fpn_level", torch.zeros(count)).long()
    levels = tuple(level.bincount().tolist())
    return Priors(boxes, points, stride, level, levels, anchors=9 if "anchors" in case else 1)


def sorted_pairs(assignment):
    """(sample, ground truth) pairs of the only image, in the order of the samples."""
    used = assignment.positive[0]
    pairs = zip(assignment.sample[0][used].tolist(), assignment.gt[0][used].tolist(), strict=True)
    return sorted(pairs)


@pytest.mark.golden("onenet_min_cost")
@pytest.mark.parametrize("max_pairs", PIECES)
def test_argmin_of_the_reference(case, max_pairs):
    assignment = MinCost(max_pairs=max_pairs)(*golden_problem(case))
    assert sorted_pairs(assignment) == sorted(
        (sample, gt) for gt, sample in enumerate(case["argmin_src_ind"].tolist())
    )


@pytest.mark.golden("onenet_min_cost")
@pytest.mark.parametrize("max_pairs", PIECES)
def test_argmin_without_class_cost_of_the_reference(case, max_pairs):
    assignment = MinCost(class_weight=0, max_pairs=max_pairs)(*golden_problem(case))
    sample = assignment.sample[0][assignment.positive[0]]
    clear = case["noclass_gap"] > 1e-4
    assert sample[clear].equal(case["noclass_src_ind"][clear])


@pytest.mark.golden("onenet_min_cost")
@pytest.mark.parametrize("max_pairs", PIECES)
def test_hungarian_of_the_reference(case, max_pairs):
    assignment = MinCost(solver="hungarian", max_pairs=max_pairs)(*golden_problem(case))
    pairs = sorted_pairs(assignment)
    assert [sample for sample, _ in pairs] == case["hungarian_src_ind"].tolist()
    if case["hungarian_unique"]:
        assert [gt for _, gt in pairs] == case["hungarian_tgt_ind"].tolist()


@pytest.mark.golden("onenet_min_cost")
@pytest.mark.parametrize(
    "weights, key",
    [((2, 5, 2), "total"), ((1, 0, 0), "class"), ((0, 1, 0), "l1"), ((0, 0, 1), "giou")],
)
def test_costs_of_the_reference(case, weights, key):
    names = ("class_weight", "l1_weight", "giou_weight")
    priors, predictions, gt = golden_problem(case)
    cost = MinCost(**dict(zip(names, weights, strict=True))).cost_matrix(priors, predictions, gt)
    rows = cost[0].T[case["cost_rows"]][:, : len(case["gt_boxes"])]
    torch.testing.assert_close(rows, case[f"cost_{key}"], rtol=1e-4, atol=3e-5)


@pytest.mark.golden("onenet_predefine")
@pytest.mark.parametrize("solver", ["argmin", "hungarian"])
def test_predefined_locations_of_the_reference(case, solver):
    assigner = MinCost(
        solver=solver,
        location="priors" if case["predefine"] else "predictions",
        size_ranges=SIZE_RANGES,
        max_pairs=777,
    )
    problem = golden_problem(case)
    pairs = sorted_pairs(assigner(*problem))
    if len(case["gt_boxes"]) == 0:
        assert pairs == []
        return
    cost = assigner.cost_matrix(*problem)[0].T[case["cost_rows"]]
    torch.testing.assert_close(cost, case["cost_total"], rtol=1e-4, atol=3e-5)
    if solver == "hungarian":
        assert pairs == list(zip(case["src_ind"].tolist(), case["tgt_ind"].tolist(), strict=True))
    else:
        by_gt = torch.tensor([sample for sample, _ in sorted(pairs, key=lambda pair: pair[1])])
        clear = case["argmin_gap"] > 1e-4
        assert by_gt[clear].equal(case["argmin_src_ind"][clear])


def brute_force_cost(problem, image):
    """The formula of the paper with library calls, (G, R) float64."""
    boxes, true = problem.predictions.boxes[image].double(), problem.gt.boxes[image].double()
    scale = problem.gt.scale[image].double()
    p = problem.predictions.logits[image].double().sigmoid()[:, problem.gt.labels[image]].T
    focal = 0.25 * (1 - p) ** 2 * -(p + 1e-8).log() - 0.75 * p**2 * -(1 - p + 1e-8).log()
    l1 = torch.cdist(true / scale, boxes / scale, p=1)
    return 2 * focal + 5 * l1 - 2 * generalized_box_iou(true, boxes)


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    objects=st.lists(st.integers(0, 12), min_size=1, max_size=3),
    samples=st.integers(1, 50),
    classes=st.integers(1, 9),
    max_pairs=st.integers(1, 600),
)
def test_solvers_find_the_least_cost(make_problem, seed, objects, samples, classes, max_pairs):
    problem = make_problem(objects, samples, classes, seed=seed)
    arguments = problem.priors, problem.predictions, problem.gt
    argmin = MinCost(max_pairs=max_pairs)(*arguments)
    hungarian = MinCost(solver="hungarian", max_pairs=max_pairs)(*arguments)
    for image, count in enumerate(objects):
        cost = brute_force_cost(problem, image)[:count].numpy()
        chosen = argmin.sample[image, :count].numpy()
        np.testing.assert_allclose(cost[np.arange(count), chosen], cost.min(axis=1), atol=1e-4)
        assert argmin.positive[image].tolist() == problem.gt.valid[image].tolist()

        used = hungarian.positive[image]
        sample, gt = hungarian.sample[image][used].numpy(), hungarian.gt[image][used].numpy()
        assert len(sample) == min(count, samples) == len(set(sample))
        least = cost[linear_sum_assignment(cost)].sum()
        np.testing.assert_allclose(cost[gt, sample].sum(), least, atol=1e-3)


@pytest.mark.parametrize("solver", ["argmin", "hungarian"])
def test_memory_layout_changes_nothing(make_problem, solver):
    problem = make_problem(objects=(7, 3, 0))
    assigner = MinCost(solver=solver)
    expected = assigner(problem.priors, problem.predictions, problem.gt)
    strided = Predictions(
        logits=problem.predictions.logits.transpose(1, 2).contiguous().transpose(1, 2),
        boxes=problem.predictions.boxes.permute(2, 0, 1).contiguous().permute(1, 2, 0),
    )
    assert not (strided.logits.is_contiguous() or strided.boxes.is_contiguous())
    assignment = assigner(problem.priors, strided, problem.gt)
    assert assignment.sample.equal(expected.sample)
    assert assignment.weight.equal(expected.weight)


class LargestTensor(TorchDispatchMode):
    """Remembers the most elements of new memory that an operator returned."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        given, made = (
            [x for x in tree_leaves(tree) if isinstance(x, torch.Tensor)]
            for tree in ((args, kwargs), result)
        )
        known = {x.untyped_storage().data_ptr() for x in given}
        new = [x.numel() for x in made if x.untyped_storage().data_ptr() not in known]
        self.elements = max([self.elements, *new])
        return result


def test_hungarian_keeps_few_candidates(make_problem):
    objects, samples = 40, 3200
    problem = make_problem(objects=(objects,), samples=samples)
    arguments = problem.priors, problem.predictions, problem.gt
    with LargestTensor() as pieces:
        assignment = MinCost(solver="hungarian", max_pairs=objects**2)(*arguments)
    with LargestTensor() as whole:
        expected = MinCost(solver="hungarian", max_pairs=objects * samples)(*arguments)
    assert assignment.sample.equal(expected.sample)
    assert whole.elements >= objects * samples
    assert pieces.elements <= 4 * objects**2  # of 80 pieces with as many candidates each


@pytest.mark.parametrize("location, anchors", [("predictions", 1), ("priors", 1), ("priors", 3)])
def test_argmin_does_not_synchronise(make_problem, location, anchors):
    problem = make_problem(levels=2).to("meta")
    priors = replace(problem.priors, anchors=anchors)
    assigner = MinCost(location=location, size_ranges=SIZE_RANGES[:2], max_pairs=100).to("meta")
    assignment = assigner(priors, problem.predictions, problem.gt)
    assert assignment.sample.shape == (3, 5)
    assert assignment.dense_gt().shape == (3, 60)


@pytest.mark.parametrize("solver", ["argmin", "hungarian"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_costs_are_finite_whatever_is_predicted(make_problem, solver, value):
    problem = make_problem(objects=(4, 2))
    problem.predictions.boxes[0, ::2] = value
    problem.predictions.logits[1, ::3] = value
    assigner = MinCost(solver=solver)
    arguments = problem.priors, problem.predictions, problem.gt
    cost = assigner.cost_matrix(*arguments)
    assert cost.isfinite().all() and cost.abs().max() <= NON_FINITE_COST
    assignment = assigner(*arguments)
    assert (assignment.sample[0] % 2 == 1).all()  # no sample whose box is not finite
    assert assignment.positive.equal(problem.gt.valid)


def test_all_predictions_not_finite(make_problem):
    problem = make_problem(objects=(4, 0))
    nothing = Predictions(*(torch.full_like(x, float("nan")) for x in (
        problem.predictions.logits, problem.predictions.boxes)))  # fmt: skip
    for solver in ("argmin", "hungarian"):
        assignment = MinCost(solver=solver)(problem.priors, nothing, problem.gt)
        assert assignment.positive.equal(problem.gt.valid)
        assert ((assignment.sample >= 0) & (assignment.sample < 60)).all()


def test_identical_ground_truths_share_a_sample_or_not(make_problem):
    problem = make_problem(objects=(3,))
    problem.gt.boxes[:], problem.gt.labels[:] = problem.gt.boxes[:, :1].clone(), 1
    arguments = problem.priors, problem.predictions, problem.gt
    assert len(set(MinCost()(*arguments).sample[0].tolist())) == 1
    assert len(set(MinCost(solver="hungarian")(*arguments).sample[0].tolist())) == 3


def test_a_ground_truth_outside_of_all_samples_and_one_of_no_area_get_a_sample(make_problem):
    problem = make_problem(objects=(2,))
    problem.gt.boxes[0] = torch.tensor([[500.0, 500, 520, 530], [40, 40, 40, 40]])
    for solver in ("argmin", "hungarian"):
        for location, anchors in (("predictions", 1), ("priors", 1), ("priors", 3)):
            assigner = MinCost(solver=solver, location=location)
            priors = replace(problem.priors, anchors=anchors)
            assert assigner(priors, problem.predictions, problem.gt).positive.all()


def test_a_sample_of_the_wrong_level_costs_more(make_problem):
    problem = make_problem(objects=(1,), levels=2)
    problem.gt.boxes[0] = torch.tensor([[20.0, 20, 60, 60]])
    everything, ranges = [[-1.0, 2000.0]] * 2, [[1000.0, 2000.0], [-1.0, 1000.0]]
    arguments = problem.priors, problem.predictions, problem.gt
    free = MinCost(location="priors", size_ranges=everything).cost_matrix(*arguments)
    bound = MinCost(location="priors", size_ranges=ranges)
    extra = bound.cost_matrix(*arguments) - free
    torch.testing.assert_close(
        extra, WRONG_LEVEL_COST * (problem.priors.level == 0).float().expand(1, 1, -1),
        atol=2e-3, rtol=0,
    )  # fmt: skip
    assert problem.priors.level[bound(*arguments).sample].tolist() == [[1]]


def test_assignment_has_no_gradient(make_problem):
    problem = make_problem()
    predictions = replace(problem.predictions, logits=problem.predictions.logits.requires_grad_())
    assignment = MinCost()(problem.priors, predictions, problem.gt)
    assert not (assignment.weight.requires_grad or assignment.score.requires_grad)


@pytest.mark.parametrize("head", ["CenterNet", "FCOS", "RetinaNet"])
@pytest.mark.parametrize("predefine, location", [(False, "predictions"), (True, "priors")])
def test_config_keys(tiny_cfg, head, predefine, location):
    options = ["MODEL.OneNet.PRE_DEFINE", predefine, "MODEL.OneNet.CLASS_COST", 0.5]
    for key, value in {"SOLVER": "hungarian", "REGION": "center", "REGION_RADIUS": 1.5}.items():
        options += [f"MODEL.OneNet.ASSIGNER.{key}", value]
    assigner = build_assigner(tiny_cfg(head, *options))
    assert isinstance(assigner, MinCost)
    assert (assigner.location, assigner.class_weight) == (location, 0.5)
    assert assigner.size_ranges.tolist() == SIZE_RANGES
    assert assigner.solver == "hungarian"
    assert (assigner.region, assigner.region_radius) == ("center", 1.5)
    assert not assigner.state_dict()


@pytest.mark.parametrize(
    "key, value, message",
    [
        ("ASSIGNER.NAME", "MinCots", 'ASSIGNER.NAME: unknown name "MinCots".*"MinCost"'),
        ("ASSIGNER.REGION", "centre", 'ASSIGNER.REGION.*"centre".*"center"'),
        ("ASSIGNER.REGION_RADIUS", 0.0, "ASSIGNER.REGION_RADIUS must be positive, got 0.0"),
        ("ASSIGNER.SOLVER", "hungrian", 'ASSIGNER.SOLVER.*"hungrian".*"hungarian"'),
    ],
)
def test_bad_config_values_are_named(tiny_cfg, key, value, message):
    with pytest.raises(ConfigError, match=message):
        build_assigner(tiny_cfg("CenterNet", f"MODEL.OneNet.{key}", value))


def test_size_ranges_must_be_as_many_as_levels(make_problem):
    problem = make_problem(levels=2)
    with pytest.raises(ConfigError, match="has 5 size ranges, the head 2 levels"):
        MinCost(location="priors", size_ranges=SIZE_RANGES)(*vars(problem).values())
