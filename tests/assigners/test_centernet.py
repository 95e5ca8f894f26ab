import numpy as np
import pytest
import torch
from assigners import CenterNet
from assigners.centernet import gaussian_radius

from .golden import cases, ground_truth, load, no_predictions, point_priors

GOLDEN = load("centernet")
CASES = dict(cases(GOLDEN))
STRIDE = 4


def inputs(case):
    width, height = case["image_wh"]
    priors = point_priors([(height // STRIDE, width // STRIDE)], [STRIDE])
    predictions = no_predictions(priors, int(case["num_classes"]))
    return priors, predictions, ground_truth(case, case["image_wh"])


@pytest.mark.parametrize("max_pairs", [1 << 18, 100])
@pytest.mark.parametrize("name", CASES)
def test_reference(name, max_pairs):
    case = CASES[name]
    priors, predictions, gt = inputs(case)
    assigner = CenterNet(max_pairs=max_pairs)
    count = len(case["gt_boxes"])
    kept = case["valid"].astype(bool)

    cells = assigner.locate(priors, gt)
    assert np.array_equal(cells.kept[0, :count], kept)
    center = torch.stack([cells.x, cells.y], -1)[0, :count]
    assert np.array_equal(center[kept], case["center_xy"][kept])
    assert np.array_equal(cells.radius[0, :count][kept], case["radius"][kept])

    assignment = assigner(priors, predictions, gt)
    assert np.array_equal(assignment.weight[0, :count], kept.astype(np.float32))
    x, y = case["center_xy"][kept].T
    sample = y * (case["image_wh"][0] // STRIDE) + x
    assert np.array_equal(assignment.sample[0, :count][kept], sample)

    expected = (1 - case["heatmap"].reshape(len(case["heatmap"]), -1).T) ** 4
    expected[sample, case["gt_classes"][kept]] = 1
    np.testing.assert_allclose(assignment.cls_weight[0], expected, rtol=1e-5, atol=1e-6)


def test_reference_radius():
    height, width = torch.from_numpy(GOLDEN["radius_table_hw"]).T
    radius = gaussian_radius(height, width, 0.7)
    np.testing.assert_allclose(radius, GOLDEN["radius_table_value"], rtol=1e-6)
