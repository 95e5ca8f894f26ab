from dataclasses import replace

import numpy as np
import pytest
import torch
from assigners import SimOTA
from assigners.dynamic.simota import PRESETS
from onenet import Predictions
from onenet.geometry import elementwise_iou
from torch.nn.functional import binary_cross_entropy

from ..golden import cases, ground_truth, load, point_priors, predictions_of, score_map

CASES = dict(cases(load("extras")))


@pytest.mark.parametrize("max_pairs", [1 << 18, 900])
@pytest.mark.parametrize("name", CASES)
def test_mmdetection(name, max_pairs):
    case = CASES[name]
    priors = point_priors(case["level_hw"])
    assigner = SimOTA(**PRESETS["mmdet"], max_pairs=max_pairs)
    assignment = assigner(priors, predictions_of(case), ground_truth(case))
    matched = torch.from_numpy(case["matched_gt_simota"])
    assert torch.equal(assignment.dense_gt()[0], matched)
    expected = torch.zeros(len(matched))
    index = torch.from_numpy(case.get("simota_pos_idx", np.zeros(0, int)))
    expected[index] = torch.from_numpy(case.get("simota_iou", np.zeros(0, "f")))
    torch.testing.assert_close(score_map(assignment), expected, rtol=1e-4, atol=3e-5)
    assert assignment.normalizer == (matched >= 0).sum()


def yolox_reference(priors, predictions, gt):
    """The rule in a loop over ground truths, with torch's cross-entropy."""
    boxes, labels = gt.boxes[0], gt.labels[0]
    offset = (priors.points[:, None] - (boxes[:, :2] + boxes[:, 2:]) / 2).abs().amax(dim=-1)
    near = offset < 1.5 * priors.stride[:, None]
    rows = near.any(dim=1).nonzero()[:, 0]
    iou = elementwise_iou(predictions.boxes[0, rows, None], boxes)
    p = (predictions.logits[0].sigmoid() * predictions.quality[0, :, None].sigmoid()).sqrt()[rows]
    cost = torch.empty_like(iou)
    for index, label in enumerate(labels):
        target = torch.zeros_like(p)
        target[:, label] = 1
        cost[:, index] = binary_cross_entropy(p, target, reduction="none").sum(dim=1)
    cost = cost - 3 * (iou + 1e-8).log() + 1e6 * ~near[rows]
    taken = torch.zeros_like(cost, dtype=torch.bool)
    for index in range(len(labels)):
        count = max(1, int(iou[:, index].topk(min(10, len(rows))).values.sum()))
        taken[cost[:, index].topk(count, largest=False).indices, index] = True
    owner = torch.where(taken.sum(dim=1) > 1, cost.argmin(dim=1), taken.int().argmax(dim=1))
    matched = torch.full((len(priors),), -1)
    matched[rows[taken.any(dim=1)]] = owner[taken.any(dim=1)]
    return matched


@pytest.mark.parametrize("name", [name for name in CASES if len(CASES[name]["gt_boxes"])])
def test_yolox(name):
    case = CASES[name]
    priors, gt = point_priors(case["level_hw"]), ground_truth(case)
    predictions = predictions_of(case)
    objectness = torch.randn(1, len(priors), generator=torch.Generator().manual_seed(0))
    predictions = Predictions(predictions.logits, predictions.boxes, objectness)
    dense = SimOTA(**PRESETS["yolox"])(priors, predictions, gt).dense_gt()[0]
    assert torch.equal(dense, yolox_reference(priors, predictions, gt))
    assert (dense >= 0).any()


def test_k_is_the_sum_of_the_best_overlaps():
    priors = point_priors([(8, 8)], [8])
    box = torch.tensor([8.0, 8, 56, 56])
    gt = ground_truth({"gt_boxes": box[None].numpy(), "gt_classes": np.zeros(1, int)})
    scores = np.linspace(0.1, 0.9, 64, dtype="f")[:, None]
    exact = predictions_of({"scores": scores, "pred_boxes": box.expand(64, 4).numpy()})
    assert SimOTA()(priors, exact, gt).positive.sum() == 10
    half = replace(exact, boxes=torch.tensor([8.0, 8, 56, 32]).expand(1, 64, 4))
    positive = SimOTA()(priors, half, gt).positive[0]
    near = ((priors.points - 32).abs().amax(dim=1) < 20).nonzero()[:, 0]
    assert positive.nonzero()[:, 0].tolist() == near[-5:].tolist()  # those that score highest
    missed = replace(exact, boxes=exact.boxes + 500)
    assert SimOTA()(priors, missed, gt).positive.sum() == 1
    assert (SimOTA(soft_labels=False)(priors, half, gt).score == 1).all()
