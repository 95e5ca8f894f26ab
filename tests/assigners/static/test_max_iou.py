import numpy as np
import pytest
import torch
from assigners import MaxIoU
from assigners.static.max_iou import PRESETS
from torchvision.ops import box_iou

from ..golden import anchor_priors, cases, ground_truth, load, no_predictions, point_priors

pytestmark = pytest.mark.numeric

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


def one_level(size=64, stride=4):
    return point_priors([(size // stride, size // stride)], [stride])


def boxes(*values):
    return ground_truth(
        {"gt_boxes": np.array(values, "f"), "gt_classes": np.zeros(len(values), int)}
    )


def test_ignored_samples_have_no_class_loss():
    priors = one_level()
    assignment = MaxIoU()(priors, no_predictions(priors), boxes([16, 16, 48, 48]))
    dense = assignment.dense_gt()[0]
    iou = box_iou(priors.boxes, torch.tensor([[16.0, 16, 48, 48]]))[:, 0]
    band = (iou >= 0.4) & (iou < 0.5)
    assert band.any()
    assert torch.equal(dense == -2, band)
    assert torch.equal(assignment.cls_weight[0, :, 0] == 0, band)
    assert assignment.normalizer == (iou >= 0.5).sum()


def test_large_box_on_a_single_level_lives_by_the_low_quality_step():
    priors, large = one_level(), [2.0, 1, 62, 61]
    low, high = torch.tensor(large).split(2)
    inside = ((priors.boxes[:, :2] >= low) & (priors.boxes[:, 2:] <= high)).all(dim=1)
    every = MaxIoU()(priors, no_predictions(priors), boxes(large))
    assert torch.equal(every.positive[0], inside)
    first = MaxIoU(all_ties=False)(priors, no_predictions(priors), boxes(large))
    assert first.positive.sum() == 1
    assert first.positive[0].int().argmax() == inside.int().argmax()
    none = MaxIoU(low_quality=False)(priors, no_predictions(priors), boxes(large))
    assert none.positive.sum() == 0


@pytest.mark.parametrize("all_ties", [True, False])
def test_later_ground_truth_takes_the_sample_of_an_earlier_one(all_ties):
    """Both overlap the same prior most; the first one matches it better."""
    priors = one_level(size=4)
    both = boxes([-14, -14, 18, 18], [-14, -14, 18, 10])
    assignment = MaxIoU(all_ties=all_ties)(priors, no_predictions(priors), both)
    assert assignment.dense_gt().tolist() == [[1]]
    assignment = MaxIoU(low_quality=False)(priors, no_predictions(priors), both)
    assert assignment.dense_gt().tolist() == [[0]]
