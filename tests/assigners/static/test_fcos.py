import numpy as np
import pytest
import torch
from assigners import FCOS
from onenet.criterion.quality_losses import centerness
from onenet.errors import ConfigError
from onenet.geometry import encode_ltrb

from ..golden import cases, ground_truth, load, no_predictions, point_priors

pytestmark = pytest.mark.numeric

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


def one_box(*boxes):
    return ground_truth({"gt_boxes": np.array(boxes, "f"), "gt_classes": np.zeros(len(boxes), int)})


def positives(assigner, priors, gt):
    return assigner(priors, no_predictions(priors), gt).dense_gt()[0]


def test_areas_are_compared_exactly():
    """They differ by 4 square pixels of 10^8, the step of float32 at that size is 8."""
    priors = point_priors([(1, 1)], [4])
    far = 12000.0
    gt = one_box([-far, -far, far + 0.5, far], [-far, -far, far, far])
    assert positives(FCOS(center_sampling=False), priors, gt).tolist() == [1]


def test_center_at_zero_is_like_any_other():
    priors = point_priors([(4, 4)], [8])
    gt = one_box([-16, 2, 16, 30], [10, 2, 30, 30])
    assert 0 in positives(FCOS(center_sampling=False), priors, gt)


def test_single_level_takes_every_size():
    priors = point_priors([(16, 16)], [8])
    gt = one_box([5, 5, 17, 17], [3, 20, 125, 125])
    dense = positives(FCOS(), priors, gt)
    assert set(dense.tolist()) == {-1, 0, 1}


def test_size_ranges_include_their_ends():
    priors = point_priors([(2, 2), (1, 1)], [8, 16])
    # From the points at 4 (first level) and 8 (second level) the right and lower sides are 64 away.
    for point, expected in ((4, [0, -1, -1, -1, 0]), (8, [-1, -1, -1, -1, 0])):
        gt = one_box([-1, -1, point + 64, point + 64])
        ranges = [[-1, 64], [60, 128]]
        assigner = FCOS(size_ranges=ranges, center_sampling=False)
        dense = positives(assigner, priors, gt)
        assert dense[0] == expected[0] and dense[4] == expected[4]


def test_levels_and_ranges_must_agree():
    priors = point_priors([(2, 2), (1, 1)], [8, 16])
    with pytest.raises(ConfigError, match="has 5 size ranges, the head 2 levels"):
        FCOS(size_ranges=RANGES)(priors, no_predictions(priors), one_box([0, 0, 9, 9]))
