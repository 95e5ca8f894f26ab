import pytest
import torch
from assigners import ATSS

from .golden import anchor_priors, cases, ground_truth, load, no_predictions

GOLDEN = load("atss")
CASES = dict(cases(GOLDEN))
PRIORS = anchor_priors(GOLDEN["grid_g0_anchors"], GOLDEN["grid_g0_level_hw"])


@pytest.mark.parametrize("max_pairs", [1 << 18, 100])
@pytest.mark.parametrize("name", CASES)
def test_reference(name, max_pairs):
    case = CASES[name]
    assignment = ATSS(max_pairs=max_pairs)(PRIORS, no_predictions(PRIORS), ground_truth(case))
    assert torch.equal(assignment.dense_gt()[0], torch.from_numpy(case["matched_gt"]))
