import pytest
import torch
from assigners import MaxIoU
from assigners.max_iou import PRESETS

from .golden import anchor_priors, cases, ground_truth, load, no_predictions

GOLDEN = load("max_iou")
CASES = dict(cases(GOLDEN))


@pytest.mark.parametrize("max_pairs", [1 << 18, 3000])
@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("name", CASES)
def test_reference(name, preset, max_pairs):
    case = CASES[name]
    grid = str(case["grid"])
    priors = anchor_priors(GOLDEN[f"grid_{grid}_anchors"], GOLDEN[f"grid_{grid}_level_hw"])
    assigner = MaxIoU(**PRESETS[preset], max_pairs=max_pairs)
    assignment = assigner(priors, no_predictions(priors), ground_truth(case))
    key = "retina" if preset == "retinanet" else preset
    expected = torch.from_numpy(case[f"matched_gt_{key}"])
    assert torch.equal(assignment.dense_gt()[0], expected)
