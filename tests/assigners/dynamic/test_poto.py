import numpy as np
import pytest
import torch
from assigners import POTO
from onenet import Predictions

from ..golden import cases, ground_truth, load, point_priors, predictions_of

CASES = {k: v for k, v in cases(load("extras")) if "matched_gt_poto" in v}


@pytest.mark.parametrize("max_pairs", [1 << 18, 900])
@pytest.mark.parametrize(
    "solver, key", [("hungarian", "poto"), ("hungarian", "date_poto"), ("argmax", "poto_argmax")]
)
@pytest.mark.parametrize("name", CASES)
def test_reference(name, solver, key, max_pairs):
    case = CASES[name]
    assigner = POTO(solver=solver, max_pairs=max_pairs)
    priors = point_priors(case["level_hw"])
    assignment = assigner(priors, predictions_of(case), ground_truth(case))
    assert torch.equal(assignment.dense_gt()[0], torch.from_numpy(case[f"matched_gt_{key}"]))


def scene(*boxes, scores=0.5):
    """Every sample predicts the first box."""
    priors = point_priors([(8, 8)], [8])
    gt = ground_truth({"gt_boxes": np.array(boxes, "f"), "gt_classes": np.zeros(len(boxes), int)})
    logits = torch.full((1, 64, 1), scores).logit()
    return priors, Predictions(logits, gt.boxes[:, :1].expand(1, 64, 4)), gt


@pytest.mark.parametrize("solver", ["hungarian", "argmax"])
def test_without_a_point_inside_the_nearest_is_taken(solver):
    priors, predictions, gt = scene([13, 22, 15, 24], [-90, -90, -80, -80])
    assignment = POTO(solver=solver)(priors, predictions, gt)
    assert assignment.positive.all()
    assert priors.points[assignment.sample[0]].tolist() == [[12, 20], [4, 4]]


def test_equal_ground_truths():
    priors, predictions, gt = scene([8, 8, 56, 56], [8, 8, 56, 56])
    assignment = POTO()(priors, predictions, gt)
    assert assignment.positive.all() and len(set(assignment.sample[0].tolist())) == 2
    assert POTO(solver="argmax")(priors, predictions, gt).positive.tolist() == [[True, False]]


def test_quality_branch_counts():
    priors, predictions, gt = scene([8, 8, 56, 56])
    quality = torch.zeros(1, 64)
    quality[0, 36] = 1
    predictions = Predictions(predictions.logits, predictions.boxes, quality)
    assert POTO()(priors, predictions, gt).sample.tolist() == [[36]]
