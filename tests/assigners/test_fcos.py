import numpy as np
import pytest
import torch
from assigners import FCOS
from onenet.geometry import encode_ltrb
from onenet.losses import centerness

from .golden import cases, ground_truth, load, no_predictions, point_priors

GOLDEN = load("fcos")
CASES = dict(cases(GOLDEN))
RANGES = [[-1, 64], [64, 128], [128, 256], [256, 512], [512, float("inf")]]
# The reference with AdelaiDet's area, except here, where the original's one more pixel decides.
PLUS_ONE = "plus1_area_reverses_order"


def assign(case, sampling, max_pairs=1 << 18):
    priors = point_priors(GOLDEN[f"grid_{case['grid']}_level_hw"])
    assigner = FCOS(size_ranges=RANGES, center_sampling=sampling == "center", max_pairs=max_pairs)
    gt = ground_truth(case)
    return priors, gt, assigner(priors, no_predictions(priors), gt)


@pytest.mark.parametrize("max_pairs", [1 << 18, 100])
@pytest.mark.parametrize("sampling", ["center", "inside"])
@pytest.mark.parametrize("name", CASES)
def test_reference(name, sampling, max_pairs):
    _, _, assignment = assign(CASES[name], sampling, max_pairs)
    expected = torch.from_numpy(CASES[name][f"adet_matched_gt_{sampling}"])
    assert torch.equal(assignment.dense_gt()[0], expected)


@pytest.mark.parametrize("sampling", ["center", "inside"])
@pytest.mark.parametrize("name", [name for name in CASES if PLUS_ONE not in name])
def test_reference_targets(name, sampling):
    case = CASES[name]
    priors, gt, assignment = assign(case, sampling)
    dense = assignment.dense_gt()[0]
    assert torch.equal(dense, torch.from_numpy(case[f"matched_gt_{sampling}"]))
    sample = torch.from_numpy(case[f"pos_idx_{sampling}"])
    points, boxes = priors.points[sample], gt.boxes[0, dense[sample]]
    np.testing.assert_allclose(encode_ltrb(points, boxes), case[f"ltrb_{sampling}"], rtol=1e-5)
    np.testing.assert_allclose(
        centerness(points, boxes), case[f"centerness_{sampling}"], rtol=1e-5, atol=1e-6
    )
