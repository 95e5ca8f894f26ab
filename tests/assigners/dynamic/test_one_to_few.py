import pytest
import torch
from assigners import OneToFew
from onenet import Predictions
from onenet.geometry import decode_ltrb

from ..golden import cases, ground_truth, load, point_priors, score_map

CASES = dict(cases(load("o2f")))


def assign(case, progress, max_pairs=1 << 18):
    priors = point_priors(case["level_hw"])
    predictions = Predictions(
        torch.from_numpy(case["logits"])[None],
        decode_ltrb(priors.points, torch.from_numpy(case["ltrb"]))[None],
        torch.from_numpy(case["centerness_logits"])[None],
    )
    assigner = OneToFew(max_pairs=max_pairs)
    assigner.progress = progress
    return assigner(priors, predictions, ground_truth(case))


@pytest.mark.parametrize("max_pairs", [1 << 18, 900])
@pytest.mark.parametrize("progress, key", [(0.0, "t06"), (1.0, "t02")])
@pytest.mark.parametrize("name", CASES)
def test_reference(name, progress, key, max_pairs):
    case = CASES[name]
    assignment = assign(case, progress, max_pairs)
    matched, index = (torch.from_numpy(case[k]) for k in ("matched_gt", "pos_idx"))
    assert torch.equal(assignment.dense_gt()[0], matched)
    assert assignment.normalizer == len(index)
    target = score_map(assignment)
    expected = torch.from_numpy(case[f"soft_label_{key}"])
    torch.testing.assert_close(target[index], expected, rtol=1e-4, atol=3e-5)
    assert torch.equal(target[index] == 1, torch.from_numpy(case["is_best"]).bool())

    weight = assignment.cls_weight[0].clone()
    labels = torch.from_numpy(case["gt_classes"])[matched[index]]
    torch.testing.assert_close(weight[index, labels], torch.from_numpy(case["soft_weight"]))
    weight[index, labels] = 1
    assert (weight == 1).all()


def test_targets_fall_with_progress():
    case = next(iter(CASES.values()))
    start, middle, end = (score_map(assign(case, progress)) for progress in (0, 0.5, 1))
    torch.testing.assert_close(middle, (start + end) / 2)
    assert ((start > end) == ((start > 0) & (start < 1))).all()
