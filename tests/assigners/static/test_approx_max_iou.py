import pytest
import torch
from assigners import ApproxMaxIoU
from onenet import Priors
from onenet.geometry import square_boxes

from ..golden import STRIDES, cases, ground_truth, load, no_predictions, point_priors

CASES = dict(cases(load("extras")))


def squares(level_hw, strides=STRIDES):
    """The square priors of Guided Anchoring, of 4 strides."""
    points = point_priors(level_hw, strides)
    boxes = square_boxes(points.points, 4 * points.stride)
    return Priors(boxes, points.points, points.stride, points.level, points.level_sizes)


@pytest.mark.parametrize("max_pairs", [1 << 18, 900])
@pytest.mark.parametrize("name", CASES)
def test_reference(name, max_pairs):
    priors, gt = squares(CASES[name]["level_hw"]), ground_truth(CASES[name])
    assignment = ApproxMaxIoU(max_pairs=max_pairs)(priors, no_predictions(priors), gt)
    matched = torch.from_numpy(CASES[name]["matched_gt_approx"])
    assert torch.equal(assignment.dense_gt()[0], matched)
    assert assignment.normalizer == (matched >= 0).sum()


def test_a_long_box_needs_a_long_shape():
    priors = squares([(8, 8)], [8])
    x, y = priors.points[27].tolist()
    box = torch.tensor([[x - 22.6, y - 11.3, x + 22.6, y + 11.3]])  # twice as wide as high
    gt = ground_truth({"gt_boxes": box.numpy(), "gt_classes": torch.zeros(1).long().numpy()})
    settings = {"low_quality": False, "pos_iou": 0.9, "neg_iou": 0.9}
    for ratios, expected in (([1.0], []), ([0.5], [27])):
        assigner = ApproxMaxIoU(scales=[1.0], ratios=ratios, **settings)
        positive = assigner(priors, no_predictions(priors), gt).positive_samples()[0]
        assert positive.nonzero()[:, 0].tolist() == expected
