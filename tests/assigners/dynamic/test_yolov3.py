import numpy as np
import pytest
import torch
from assigners import YOLOv3
from assigners.dynamic.yolov3 import PRESETS
from onenet import Predictions, Priors
from onenet.errors import UserError
from onenet.geometry import box_centers

from ..golden import cases, ground_truth, load, no_predictions

DATA = load("yolov3")
CASES = dict(cases(DATA))
SIZE = 128


def shaped_priors(strides, shapes_wh):
    """The same number of anchors, centred on the cells, on the grid of each stride."""
    boxes, stride, sizes, grids = [], [], [], []
    for step, shapes in zip(strides, shapes_wh, strict=True):
        cells = SIZE // step
        y, x = torch.meshgrid(torch.arange(cells), torch.arange(cells), indexing="ij")
        center = ((torch.stack([x, y], dim=-1).reshape(-1, 1, 2) + 0.5) * step).float()
        half = torch.as_tensor(shapes) / 2
        boxes.append(torch.cat([center - half, center + half], dim=-1).flatten(0, 1))
        stride.append(torch.full((len(boxes[-1]),), float(step)))
        sizes.append(len(boxes[-1]))
        grids.append((cells, cells))
    level = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    boxes = torch.cat(boxes)
    return Priors(
        boxes, box_centers(boxes), torch.cat(stride), level, tuple(sizes), tuple(grids), 3
    )


def darknet():
    """The nine anchors of the reference, finest level first."""
    return shaped_priors(DATA["hp_dark_strides"].tolist(), DATA["hp_anchors_wh"].reshape(3, 3, 2))


def decoded(case, priors):
    """Predictions (1, R) of the raw outputs of the reference."""
    raw = [torch.from_numpy(case[f"dark_pred_s{s}"]) for s in DATA["hp_dark_strides"]]
    raw = torch.cat([x.permute(1, 2, 0, 3).flatten(0, 2) for x in raw])
    half = priors.stride[:, None] / 2
    center = priors.points - half + raw[:, :2].sigmoid() * priors.stride[:, None]
    size = raw[:, 2:4].exp() * (priors.boxes[:, 2:] - priors.boxes[:, :2])
    boxes = torch.cat([center - size / 2, center + size / 2], dim=1)
    return Predictions(raw[None, :, 5:], boxes[None], raw[None, :, 4])


@pytest.mark.parametrize("max_pairs", [0, 900])
@pytest.mark.parametrize("name", CASES)
def test_darknet(name, max_pairs):
    case, priors = CASES[name], darknet()
    gt = ground_truth(case, case["image_wh"])
    assignment = YOLOv3(max_pairs=max_pairs)(priors, decoded(case, priors), gt)
    objectness = (assignment.dense_gt()[0] != -2).long()
    assert objectness.tolist() == case["dark_obj_weight"].tolist()
    positive = assignment.positive_samples()[0]
    assert positive.nonzero()[:, 0].tolist() == case["dark_pos_idx"].tolist()
    check_targets(case, assignment, gt)


def check_targets(case, assignment, gt):
    """Classes are those of all that share a sample, the box and its weight that of the last."""
    for sample, target, scale, last in zip(
        case["dark_pos_idx"].tolist(), case["dark_target"], case["dark_scale"],
        case["dark_pos_gt"], strict=True,
    ):  # fmt: skip
        slots = (assignment.positive[0] & (assignment.sample[0] == sample)).nonzero()[:, 0]
        assert slots.max() == last
        assert set(gt.labels[0, slots].tolist()) == set(np.flatnonzero(target[5:]).tolist())
        assert assignment.weight[0, last].item() == pytest.approx(float(scale), rel=1e-4)


@pytest.mark.parametrize("name", CASES)
def test_grid_rule_of_mmdetection(name):
    case = CASES[name]
    anchors = torch.from_numpy(DATA["grid_anchors"])
    shapes = tuple((int(h), int(w)) for h, w in DATA["grid_level_hw"])
    sizes = tuple(3 * h * w for h, w in shapes)
    level = torch.arange(3).repeat_interleave(torch.tensor(sizes))
    stride = torch.from_numpy(DATA["hp_grid_strides"]).float()[level]
    priors = Priors(anchors, box_centers(anchors), stride, level, sizes, shapes, 3)
    gt = ground_truth(case, case["image_wh"])
    for max_pairs in (0, 900):
        assigner = YOLOv3(**PRESETS["mmdet"], max_pairs=max_pairs)
        dense = assigner(priors, no_predictions(priors), gt).dense_gt()[0]
        assert dense.tolist() == case["grid_matched_gt"].tolist()


def one_object(box):
    case = {"gt_boxes": np.array([box], "f"), "gt_classes": np.zeros(1, int)}
    return ground_truth(case, (SIZE, SIZE))


def test_centre_outside_of_the_image_is_in_the_nearest_cell():
    priors = darknet()
    gt = one_object([-60.0, 40, -40, 56])
    (sample,) = YOLOv3()(priors, no_predictions(priors), gt).sample[0].tolist()
    x, y = priors.points[sample].tolist()
    stride = priors.stride[sample].item()
    assert x == stride / 2 and abs(y - 48) <= stride / 2


def test_overlapping_predictions_are_ignored_but_not_the_positive():
    priors = darknet()
    box = [40.0, 40, 56, 70]
    boxes = torch.tensor([300.0, 300, 310, 310]).repeat(1, len(priors), 1)
    boxes[0, 5] = torch.tensor([40.0, 40, 56, 68])
    assigner, gt = YOLOv3(), one_object(box)
    (sample,) = assigner(priors, Predictions(None, boxes), gt).sample[0].tolist()
    boxes[0, sample] = boxes[0, 5]
    dense = assigner(priors, Predictions(None, boxes), gt).dense_gt()[0]
    assert dense[sample] == 0 and (dense == -2).nonzero().tolist() == [[5]]


def test_needs_grids():
    priors = darknet()
    loose = Priors(priors.boxes, priors.points, priors.stride, priors.level, priors.level_sizes)
    with pytest.raises(UserError, match="samples lie on grids"):
        YOLOv3()(loose, no_predictions(loose), one_object([1.0, 1, 9, 9]))
