import numpy as np
import pytest
import torch
from assigners.static.corners import CornerCells, corner_radius
from onenet import ConfigError, GroundTruth

from ..corner_maps import STRIDE, predictions_of, priors_of, samples
from ..golden import cases, ground_truth, load

pytestmark = pytest.mark.numeric

GOLDEN = load("cornernet")
CASES = dict(cases(GOLDEN))


def inputs(case):
    return priors_of(case), predictions_of(case), ground_truth(case, case["image_wh"])


@pytest.mark.parametrize("max_pairs", [1 << 18, 100])
@pytest.mark.parametrize("name", CASES)
def test_reference(name, max_pairs):
    case = CASES[name]
    assigner, arguments = CornerCells(max_pairs=max_pairs), inputs(case)
    cells = assigner.locate(arguments[0], arguments[2])
    count, slots = len(case["gt_boxes"]), arguments[2].labels.shape[1]
    places = torch.stack([cells.y, cells.x], dim=-1)[0].view(2, slots, 2)[:, :count]
    if count:
        assert np.array_equal(places.transpose(0, 1), case["corner_yx"])
        assert np.array_equal(cells.radius[0, :count], case["radius"])

    assignment = assigner(*arguments)
    assert torch.equal(assignment.positive, arguments[2].valid.repeat(1, 2))
    heat = samples(case["tl_heatmap"], case["br_heatmap"])
    expected = torch.where(heat == 1, 1, (1 - heat) ** 4)
    torch.testing.assert_close(assignment.cls_weight, expected, rtol=1e-5, atol=1e-6)
    pairs = assignment.sample[assignment.positive], arguments[2].labels.repeat(1, 2)
    assert (heat[0, pairs[0], pairs[1][assignment.positive]] == 1).all()
    assert len(set(zip(*(x[assignment.positive].tolist() for x in (assignment.sample, pairs[1])),
                       strict=True))) == (heat == 1).sum()  # fmt: skip


def test_reference_radius():
    height, width = torch.from_numpy(GOLDEN["radius_table_hw"]).T
    for name in ("mmdet", "official"):
        radius = corner_radius(height, width, float(GOLDEN["hp_min_overlap"]))
        np.testing.assert_allclose(radius, GOLDEN[f"radius_table_{name}"], rtol=1e-5)


@pytest.mark.parametrize("min_overlap", [0.05, 0.3, 0.7, 0.95])
def test_no_radius_is_beyond_the_window(min_overlap):
    """Objects may be larger than the map, and of any shape."""
    priors = priors_of({"feat_hw": np.array([15, 40])})
    sides = torch.cartesian_prod(torch.arange(1.0, 60), torch.arange(1.0, 60))[None] * STRIDE
    labels = torch.zeros(sides.shape[:2], dtype=torch.int64)
    boxes = torch.cat([torch.zeros_like(sides), sides], dim=-1)
    gt = GroundTruth(boxes, labels, labels == 0, torch.tensor([[60.0, 160.0]]))
    assigner = CornerCells(min_overlap=min_overlap)
    assert assigner.locate(priors, gt).radius.max() <= assigner._largest_radius(600)


def test_corners_beyond_the_map_go_to_its_edge():
    case = {"feat_hw": np.array([6, 8]), "image_wh": np.array([32, 24]),
            "gt_boxes": np.array([[-9.0, -5, 32, 24], [40, 30, 50, 26]], "f"),
            "gt_classes": np.array([0, 1])}  # fmt: skip
    cells = CornerCells().locate(priors_of(case), ground_truth(case, case["image_wh"]))
    assert cells.x.tolist() == [[0, 7, 7, 7]] and cells.y.tolist() == [[0, 5, 5, 5]]
    assert cells.location.tolist() == [[0, 47, 48 + 47, 48 + 47]]


@pytest.mark.parametrize("min_overlap", [0.0, 1.0])
def test_overlap_is_checked(min_overlap):
    with pytest.raises(ConfigError, match=f"CORNERNET.MIN_OVERLAP must lie .* got {min_overlap}"):
        CornerCells(min_overlap=min_overlap)
