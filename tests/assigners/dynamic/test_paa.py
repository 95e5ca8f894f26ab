import numpy as np
import pytest
import torch
from assigners import PAA
from assigners.dynamic.mixture import fit_mixture
from assigners.dynamic.paa import PRESETS, separate
from detectron2.modeling.box_regression import Box2BoxTransform
from onenet import Predictions
from onenet.criterion import FocalLoss, IoULoss
from onenet.geometry import elementwise_iou_giou
from sklearn.mixture import GaussianMixture

from ..golden import anchor_priors, cases, ground_truth, load

pytestmark = pytest.mark.numeric

DATA = load("paa")
CASES = dict(cases(DATA))
MIXTURES = [f"mix{index:03d}" for index in range(int(DATA["num_mix"]))]
KEYS = {"mmdet": "matched_gt", "paa": "matched_gt_official"}


def arguments(case):
    priors = anchor_priors(DATA["grid_g0_anchors"], DATA["grid_g0_level_hw"])
    transform = Box2BoxTransform(weights=tuple(1 / DATA["hp_delta_stds"]))
    boxes = transform.apply_deltas(torch.from_numpy(case["deltas"]), priors.boxes)
    tensors = (torch.from_numpy(case[key])[None] for key in ("logits", "iou_logits"))
    logits, quality = tensors
    return priors, Predictions(logits, boxes[None], quality), ground_truth(case)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("name", CASES)
def test_reference(name, preset):
    case = CASES[name]
    assigner, data = PAA(**PRESETS[preset]), arguments(case)
    assignment = assigner(*data)
    assert assignment.dense_gt()[0].tolist() == case[KEYS[preset]].tolist()
    assert assignment.normalizer == (case[KEYS[preset]] >= 0).sum()


@pytest.mark.parametrize("name", [name for name in CASES if len(CASES[name]["gt_boxes"])])
def test_candidates_of_the_reference(name):
    case = CASES[name]
    assigner, (priors, predictions, gt) = PAA(), arguments(case)
    candidates = assigner.candidates(priors, predictions, gt)
    index = torch.from_numpy(case["cand_idx"])
    assert candidates.positive[0].nonzero()[:, 0].tolist() == sorted(index.tolist())
    assert candidates.gt[0, index].tolist() == case["cand_gt"].tolist()
    loss = assigner._losses(predictions, gt, candidates.gt)[0, index]
    expected = torch.from_numpy(case["cand_loss"])
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=3e-5)


@pytest.mark.parametrize("name", CASES)
def test_losses_of_the_reference(name):
    case = CASES[name]
    priors, predictions, gt = arguments(case)
    assignment = PAA(**PRESETS["mmdet"])(priors, predictions, gt)
    normalizer = assignment.normalizer.clamp(min=1)
    given = priors, predictions, assignment, gt, normalizer
    assert FocalLoss(weight=1.0)(*given)["loss_ce"].item() == approx(case["loss_cls"])
    assert IoULoss(weight=0.5)(*given)["loss_quality"].item() == approx(case["loss_iou"])
    targets = gt.boxes[0][assignment.gt[0]]
    giou = elementwise_iou_giou(predictions.boxes[0], targets)[1]
    boxes = 1.3 * (assignment.weight[0] * (1 - giou)).sum() / normalizer
    assert boxes.item() == approx(case["loss_bbox"])


def approx(value):
    return pytest.approx(float(value), rel=1e-4, abs=3e-5)


def kept_of_levels(loss, level):
    """Candidates of a mixture case as the rule orders them: 9 of each level, by loss."""
    kept = np.concatenate(
        [np.flatnonzero(level == x)[np.argsort(loss[level == x])[:9]] for x in np.unique(level)]
    )
    return kept[np.argsort(loss[kept])]


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("name", MIXTURES)
def test_mixture_of_the_reference(name, preset):
    loss, level = DATA[f"{name}_loss"], DATA[f"{name}_level"]
    order = kept_of_levels(loss, level)
    padded = np.concatenate([loss[order], [np.inf] * 5]).astype("f")
    good = separate(torch.from_numpy(padded)[None], **PRESETS[preset])[0].numpy()
    positive = np.zeros(len(loss), int)
    positive[order] = good[: len(order)]
    key = "positive" if preset == "mmdet" else "positive_official"
    assert positive.tolist() == DATA[f"{name}_{key}"].tolist()
    assert not good[len(order) :].any()


def test_gaussians_are_those_of_scikit_learn():
    generator = np.random.default_rng(0)
    sizes = [2, 3, 9, 20, 45]
    values, valid = np.zeros((len(sizes), 45)), np.zeros((len(sizes), 45), bool)
    for row, size in enumerate(sizes):
        center = np.where(np.arange(size) % 3 == 0, 1.0, 2.5)
        values[row, :size] = np.sort(center + 0.4 * generator.standard_normal(size))
        valid[row, :size] = True
    fitted = fit_mixture(torch.from_numpy(values), torch.from_numpy(valid))
    for row, size in enumerate(sizes):
        sample = values[row, :size, None]
        model = GaussianMixture(
            2, means_init=[sample[0], sample[-1]], weights_init=[0.5, 0.5],
            precisions_init=np.ones((2, 1, 1)),
        ).fit(sample)  # fmt: skip
        for name in ("weight", "mean", "variance"):
            theirs = {"weight": "weights_", "mean": "means_", "variance": "covariances_"}[name]
            expected = torch.from_numpy(getattr(model, theirs)).flatten()
            torch.testing.assert_close(getattr(fitted, name)[row], expected, rtol=1e-6, atol=1e-9)


def test_single_candidate_and_none():
    loss = torch.tensor([[0.7, torch.inf], [torch.inf, torch.inf]])
    assert separate(loss, True).tolist() == [[True, False], [False, False]]
    assert separate(loss, False).tolist() == [[False, False]] * 2
