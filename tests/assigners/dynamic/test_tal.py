from dataclasses import replace

import numpy as np
import pytest
import torch
from assigners import TAL
from assigners.dynamic.tal import PRESETS

from ..golden import cases, ground_truth, load, point_priors, predictions_of, score_map

YOLO = load("ultralytics_tal")
TOOD = load("tood_targets")
EXTRAS = load("extras")
YOLO_CASES, TOOD_CASES, EXTRAS_CASES = (dict(cases(data)) for data in (YOLO, TOOD, EXTRAS))
CLOSE = {"rtol": 1e-4, "atol": 3e-5}
VARIANTS = {
    "t10": PRESETS["yolo"],
    "t7_1": PRESETS["yolo_one"],
    "t1": {**PRESETS["yolo"], "topk": 1},
}


def assign(case, max_pairs=1 << 18, **options):
    priors = point_priors(case["level_hw"], case.get("strides", TOOD["hp_strides"]))
    assigner = TAL(**options, max_pairs=max_pairs)
    return assigner(priors, predictions_of(case), ground_truth(case))


def check(assignment, matched, index, target):
    assert torch.equal(assignment.dense_gt()[0], torch.from_numpy(matched))
    expected = torch.zeros(len(matched))
    expected[torch.from_numpy(index)] = torch.from_numpy(target)
    torch.testing.assert_close(score_map(assignment), expected, **CLOSE)
    torch.testing.assert_close(assignment.normalizer, expected.sum(), rtol=1e-4, atol=3e-5)
    assert torch.equal(assignment.weight, assignment.score)


@pytest.mark.parametrize("max_pairs", [1 << 18, 900])
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", YOLO_CASES)
def test_ultralytics(name, variant, max_pairs):
    case = YOLO_CASES[name]
    assignment = assign(case, max_pairs, **VARIANTS[variant])
    keys = ("matched_gt", "pos_idx", "target_score")
    check(assignment, *(case[f"{key}_{variant}"] for key in keys))


@pytest.mark.parametrize("name", TOOD_CASES)
def test_tood(name):
    case = TOOD_CASES[name]
    assignment = assign(case, **PRESETS["tood"])
    check(assignment, case["matched_gt"], case["pos_idx"], case["target"])


@pytest.mark.parametrize("name", EXTRAS_CASES)
def test_mmdetection(name):
    case = EXTRAS_CASES[name]
    index = case.get("taskaligned_pos_idx", np.zeros(0, int))
    target = TOOD.get(f"extras_case{int(name.split('_')[0]):03d}_target", np.zeros(0, "f"))
    check(assign(case, **PRESETS["tood"]), case["matched_gt_taskaligned"], index, target)


def test_one_slot_a_ground_truth():
    case = YOLO_CASES[next(iter(YOLO_CASES))]
    assignment = assign(case, **PRESETS["yolo_one"])
    assert assignment.sample.shape == (1, len(case["gt_boxes"]))


def test_hard_labels_count():
    case = YOLO_CASES[next(iter(YOLO_CASES))]
    soft = assign(case, **PRESETS["yolo"])
    hard = assign(case, **PRESETS["yolo"], soft_labels=False)
    assert torch.equal(hard.dense_gt(), soft.dense_gt())
    assert (hard.score == 1).all() and ((hard.weight == 0) | (hard.weight == 1)).all()
    assert hard.normalizer == soft.positive.sum()


def two_boxes(first, second):
    return ground_truth(
        {"gt_boxes": np.array([first, second], "f"), "gt_classes": np.zeros(2, int)}
    )


def one_level():
    priors = point_priors([(8, 8)], [8])
    scores = np.full((64, 1), 0.5, "f")
    return priors, predictions_of({"scores": scores, "pred_boxes": priors.boxes.numpy()})


def test_predictions_that_overlap_nothing_are_not_positive():
    """The reference takes ``topk`` of them all the same, and gives shared ones to the first."""
    priors, predictions = one_level()
    predictions = replace(predictions, boxes=predictions.boxes + 1000)
    assignment = TAL()(priors, predictions, two_boxes([0, 0, 64, 64], [0, 0, 64, 60]))
    assert not assignment.positive.any()


def test_equal_metrics_go_to_the_first_samples():
    priors, predictions = one_level()
    box = torch.tensor([8.0, 8, 56, 56])
    predictions = replace(predictions, boxes=box.expand_as(predictions.boxes))
    inside = ((priors.points > 8) & (priors.points < 56)).all(dim=1).nonzero()[:, 0]
    for max_pairs in (1 << 18, 10, 2):
        assigner = TAL(topk=5, max_pairs=max_pairs)
        dense = assigner(priors, predictions, two_boxes(box.tolist(), [0, 0, 1, 1])).dense_gt()[0]
        assert (dense == 0).nonzero()[:, 0].tolist() == inside[:5].tolist()


def test_small_boxes_are_widened():
    priors = point_priors([(8, 8), (4, 4)], [8, 16])
    predictions = predictions_of(
        {"scores": np.full((80, 1), 0.5, "f"), "pred_boxes": priors.boxes.numpy()}
    )
    between = two_boxes([15, 15, 17, 17], [40, 40, 41, 41])  # no point of the fine level is inside
    wide, narrow = (
        TAL(widen=widen, ciou=False)(priors, predictions, between).dense_gt()[0] == 0
        for widen in (True, False)
    )
    assert not narrow[:64].any()
    assert wide[:64].nonzero()[:, 0].tolist() == [9, 10, 17, 18]
