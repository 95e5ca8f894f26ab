import numpy as np
import pytest
import torch
from assigners import CenterNet
from assigners.static.centernet import gaussian_radius
from onenet import Priors
from onenet.geometry import square_boxes

from ..golden import cases, ground_truth, load, no_predictions, point_priors

pytestmark = pytest.mark.numeric

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


@pytest.mark.parametrize("name", CASES)
def test_reference_loss(name):
    """With its pairs and weights, the reference's heat-map loss comes out."""
    case = CASES[name]
    priors, predictions, gt = inputs(case)
    assignment = CenterNet()(priors, predictions, gt)
    logits = torch.from_numpy(case["logits"]).flatten(1).T
    p = logits.sigmoid().clamp(1e-4, 1 - 1e-4)
    pair = torch.zeros_like(p, dtype=torch.bool)
    used = assignment.positive[0]
    pair[assignment.sample[0, used], gt.labels[0, used]] = True
    negative = -(1 - p).log() * p.square() * assignment.cls_weight[0]
    loss = (-p.log() * (1 - p).square())[pair].sum() + negative[~pair].sum()
    assert pair.sum() == case["num_heatmap_ones"]
    np.testing.assert_allclose(
        loss / pair.sum().clamp(min=1), case["loss_heatmap"], rtol=1e-4, atol=3e-5
    )


def boxes(*values, image_wh):
    case = {"gt_boxes": np.array(values, "f"), "gt_classes": np.zeros(len(values), int)}
    return ground_truth(case, image_wh)


def test_ground_truths_go_to_the_level_of_their_size():
    priors = point_priors([(64, 64), (32, 32), (16, 16)], [8, 16, 32])
    ranges = [[-1, 16], [16, 32], [32, float("inf")]]
    gt = boxes([8, 8, 40, 20], [8, 8, 41, 20], [0, 0, 60, 70], image_wh=(512, 512))
    assigner = CenterNet(size_ranges=ranges)
    assignment = assigner(priors, no_predictions(priors), gt)
    # Half of the longer side is 16, 16.5 and 35; the centres are (24, 14), (24.5, 14), (30, 35).
    first, second = 64**2, 64**2 + 32**2
    assert assignment.sample.tolist() == [[1 * 64 + 3, first + 0 * 32 + 1, second + 1 * 16 + 0]]


def test_other_levels_know_nothing_of_a_ground_truth():
    priors = point_priors([(64, 64), (32, 32), (16, 16)], [8, 16, 32])
    ranges = [[-1, 16], [16, 32], [32, float("inf")]]
    gt = boxes([8, 8, 400, 390], image_wh=(512, 512))
    assignment = CenterNet(size_ranges=ranges)(priors, no_predictions(priors), gt)
    lighter = assignment.cls_weight[0, :, 0] < 1
    assert lighter.any() and (priors.level[lighter] == 2).all()
    assert (assignment.cls_weight[0, :, 1:] == 1).all()


def test_the_best_anchor_of_the_cell_is_the_pair():
    centers = point_priors([(8, 8)], [8])
    sizes = torch.tensor([16.0, 32, 64])
    points = centers.points.repeat_interleave(3, dim=0)
    priors = Priors(
        boxes=square_boxes(points, sizes.repeat(64)),
        points=points,
        stride=centers.stride.repeat_interleave(3),
        level=centers.level.repeat_interleave(3),
        level_sizes=(192,),
        shapes=((8, 8),),
        anchors=3,
    )
    gt = boxes([10, 10, 44, 46], [30, 30, 45, 47], image_wh=(64, 64))
    assignment = CenterNet()(priors, no_predictions(priors), gt)
    cells = [3 * 8 + 3, 4 * 8 + 4]
    assert assignment.sample.tolist() == [[3 * cells[0] + 1, 3 * cells[1] + 0]]
    # The other anchors of a centre cell train towards nothing.
    weight = assignment.cls_weight[0, :, 0].view(64, 3)
    assert weight[cells[0]].tolist() == [0, 1, 0]
    assert weight[cells[1]].tolist() == [1, 0, 0]


def test_padding_of_the_image_is_no_part_of_it():
    """The clipping is that of the image, not of the padded input."""
    priors = point_priors([(16, 16)], [4])
    gt = boxes([30, 30, 64, 64], image_wh=(50, 42))
    cells = CenterNet().locate(priors, gt)
    # 12.5 and 10.5 cells, so that the last ones are 12 and 10.
    assert (cells.x.item(), cells.y.item()) == (int((7.5 + 12) / 2), int((7.5 + 10) / 2))
