import numpy as np
import pytest
import torch
from assigners import OTA
from assigners.dynamic.sinkhorn import shares_of_plan
from onenet import Predictions
from onenet.geometry import decode_ltrb

from ..golden import cases, ground_truth, load, point_priors

pytestmark = pytest.mark.numeric

DATA = load("ota")
CASES = dict(cases(DATA))


def arguments(case):
    priors = point_priors(case["level_hw"], DATA["hp_strides"])
    boxes = decode_ltrb(priors.points, torch.from_numpy(case["ltrb"]))
    predictions = Predictions(torch.from_numpy(case["logits"])[None], boxes[None])
    return priors, predictions, ground_truth(case)


@pytest.mark.parametrize("name", CASES)
def test_reference(name):
    case = CASES[name]
    assigner, data = OTA(), arguments(case)
    assignment = assigner(*data)
    assert assignment.dense_gt()[0].tolist() == case["matched_gt"].tolist()
    assert assignment.normalizer == (case["matched_gt"] >= 0).sum()
    if len(case["gt_boxes"]) == 0:
        return
    *_, supply = assigner._problem(*data)
    assert supply[0].tolist() == case["dynamic_k"].tolist()
    if case["pi_stable"]:
        shares = assigner.shares(*data)[0]
        largest, second = shares.topk(2, dim=0).values.float()
        assert_close(largest, case["pi_max"])
        assert_close(largest - second, case["pi_gap"])


@pytest.mark.parametrize("name", [name for name in CASES if "pi" in CASES[name]])
def test_plan_of_the_reference(name):
    case = CASES[name]
    cost = torch.from_numpy(case["cost"]).double()[None]
    k = torch.from_numpy(case["dynamic_k"]).double()
    supply = torch.cat([k, (cost.shape[-1] - k.sum())[None]])[None]
    assert_close(shares_of_plan(cost, supply, 0.1, 50)[0].float(), case["pi"])


def assert_close(actual, expected):
    torch.testing.assert_close(actual, torch.from_numpy(expected), rtol=1e-4, atol=3e-5)


def with_logarithms(cost, supply, epsilon, iterations):
    """The iterations as they are usually written."""
    v = torch.zeros(cost.shape[-1], dtype=cost.dtype)
    u = torch.zeros_like(supply)
    for _ in range(iterations):
        v = -epsilon * ((u[:, None] - cost) / epsilon).logsumexp(dim=0)
        u = epsilon * (supply.log() - ((v - cost) / epsilon).logsumexp(dim=1))
    plan = ((u[:, None] + v - cost) / epsilon).exp()
    return plan / plan.amax(dim=1, keepdim=True)


@pytest.mark.parametrize("scale", [1.0, 30.0, 1e6])
def test_large_costs_neither_vanish_nor_overflow(scale):
    generator = torch.Generator().manual_seed(0)
    cost = torch.rand(4, 50, generator=generator, dtype=torch.float64) * 3
    cost[1] += scale  # nothing suits it
    cost[:, :20] += scale  # which is far from everybody
    supply = torch.tensor([5.0, 3, 2, 40], dtype=torch.float64)
    expected = with_logarithms(cost, supply, 0.1, 50)
    actual = shares_of_plan(cost[None], supply[None], 0.1, 50)[0]
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-6)


def test_a_supplier_without_anything_takes_no_part():
    cost = torch.rand(1, 3, 20, dtype=torch.float64)
    supply = torch.tensor([[4.0, 0, 16]], dtype=torch.float64)
    shares = shares_of_plan(cost, supply, 0.1, 50)
    assert (shares[0, 1] == 0).all()
    rest = shares_of_plan(cost[:, ::2], supply[:, ::2], 0.1, 50)
    torch.testing.assert_close(shares[:, ::2], rest)


def test_k_is_the_sum_of_the_best_overlaps():
    priors = point_priors([(8, 8)], [8])
    box = torch.tensor([8.0, 8, 56, 56])
    gt = ground_truth({"gt_boxes": box[None].numpy(), "gt_classes": np.zeros(1, int)})
    logits = torch.zeros(1, 64, 1)
    exact = Predictions(logits, box.expand(1, 64, 4))
    # Points less than 2.5 strides from the centre, 32: four along each axis.
    assert OTA()._problem(priors, exact, gt)[2] == 16
    assert OTA(topk=7)._problem(priors, exact, gt)[2] == 7
    missed = Predictions(logits, box.expand(1, 64, 4) + 500)
    assert OTA()._problem(priors, missed, gt)[2] == 1
