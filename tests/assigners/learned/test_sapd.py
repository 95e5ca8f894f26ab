import pytest
import torch
from assigners.learned.soft_points import SoftPoints
from onenet import ConfigError, Predictions
from onenet.geometry import decode_ltrb

from ..golden import cases, ground_truth, load, point_priors

DATA = load("sapd")
CASES = dict(cases(DATA))
OBJECTS = [name for name, case in CASES.items() if len(case["gt_boxes"])]
PRIORS = point_priors(DATA["hp_level_hw"], DATA["hp_strides"])


def predictions_of(case):
    unit = float(DATA["hp_ltrb_unit_in_strides"]) * PRIORS.stride[:, None]
    ltrb = torch.from_numpy(case["pred_ltrb"]) * unit
    logits = torch.from_numpy(case["cls_prob"]).logit()
    return Predictions(logits[None], decode_ltrb(PRIORS.points, ltrb)[None])


@pytest.mark.parametrize("name", OBJECTS)
def test_regions(name):
    boxes = torch.from_numpy(CASES[name]["gt_boxes"])[None]
    for level, stride in enumerate(DATA["hp_strides"]):
        ours = SoftPoints().regions(boxes, torch.tensor(float(stride)), PRIORS.shapes[level])
        expected = torch.from_numpy(CASES[name]["area_x1y1x2y2"][:, level])
        assert torch.equal(ours[0].long(), expected)


@pytest.mark.parametrize("max_pairs", [0, 300])
@pytest.mark.parametrize("name", CASES)
def test_positives_and_weights(name, max_pairs):
    case, gt = CASES[name], ground_truth(CASES[name])
    weights = torch.zeros(*gt.labels.shape, 5)
    weights[0, : len(case["select_weight"])] = torch.from_numpy(case["select_weight"])
    assigner = SoftPoints(max_pairs=max_pairs)
    assignment = assigner(PRIORS, predictions_of(case), gt, weights)
    index = torch.from_numpy(case["pos_idx"])
    expected = torch.ones(len(PRIORS))
    expected[index] = torch.from_numpy(case["pos_weight"])
    torch.testing.assert_close(assignment.cls_weight[0, :, 0], expected, rtol=1e-4, atol=3e-5)
    positive = torch.zeros(len(PRIORS), dtype=torch.bool).index_fill(0, index, True)
    expected = expected.masked_fill(~positive, 0)
    torch.testing.assert_close(assignment.weight[0], expected, rtol=1e-4, atol=3e-5)
    torch.testing.assert_close(assignment.normalizer, expected.sum(), rtol=1e-4, atol=3e-5)
    labels = gt.labels[0, assignment.gt[0, index]]
    assert torch.equal(labels, torch.from_numpy(case["pos_class"]).long())


@pytest.mark.parametrize("max_pairs", [0, 300])
@pytest.mark.parametrize("name", OBJECTS)
def test_the_level_of_least_loss(name, max_pairs):
    case, gt = CASES[name], ground_truth(CASES[name])
    losses = SoftPoints(max_pairs=max_pairs).level_losses(PRIORS, predictions_of(case), gt)
    expected = torch.from_numpy(case["level_loss"])
    torch.testing.assert_close(losses[0], expected, rtol=2e-4, atol=1e-4)
    assert torch.equal(losses[0].argmin(dim=-1), torch.from_numpy(case["level"]).long())


def test_without_weights_the_best_level_has_all():
    case, gt = CASES["0_random"], ground_truth(CASES["0_random"])
    assignment = SoftPoints()(PRIORS, predictions_of(case), gt)
    level = torch.from_numpy(case["level"]).long()[assignment.gt[0]]
    assert (PRIORS.level == level)[assignment.positive[0]].all()
    assert set(assignment.dense_gt()[0].tolist()) <= {-2, -1, *range(len(case["gt_boxes"]))}
    assert (assignment.dense_gt() == -2).any()


@pytest.mark.parametrize("shrink", [-0.1, 1.5])
def test_shrink_is_checked(shrink):
    with pytest.raises(ConfigError, match=rf"SAPD.SHRINK must be in \[0, 1\], got {shrink}"):
        SoftPoints(shrink=shrink)
