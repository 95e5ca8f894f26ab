from dataclasses import replace

import numpy as np
import pytest
import torch
from assigners.learned.corner_losses import EmbeddingLoss, OffsetLoss
from assigners.static.corners import CornerCells
from onenet.criterion import FocalLoss

from ..corner_maps import predictions_of, priors_of, samples
from ..golden import cases, concat, ground_truth, load

pytestmark = pytest.mark.numeric

CASES = dict(cases(load("cornernet")))


def arguments(case):
    priors, predictions = priors_of(case), predictions_of(case)
    gt = ground_truth(case, case["image_wh"])
    return priors, predictions, CornerCells()(priors, predictions, gt), gt


def only(assignment, kept):
    return replace(assignment, weight=assignment.weight * kept)


def halves(assignment):
    """The assignment of the top-left corners alone, and of the bottom-right corners alone."""
    first = torch.arange(assignment.weight.shape[1]) < assignment.weight.shape[1] // 2
    cells = torch.arange(assignment.cls_weight.shape[1]) < assignment.cls_weight.shape[1] // 2
    for slots, samples_ in ((first, cells), (~first, ~cells)):
        yield only(assignment, slots).keep(samples_[None])


@pytest.mark.parametrize("name", CASES)
def test_heat(name):
    """The reference divides by the corners of either map, we divide by the objects."""
    case = CASES[name]
    priors, predictions, assignment, gt = arguments(case)
    loss, loss_of = 0.0, FocalLoss(weight=1, alpha=0.5, gamma=2)
    for half, ones in zip(halves(assignment), ("tl", "br"), strict=True):
        count = torch.tensor(float((case[f"{ones}_heatmap"] == 1).sum())).clamp(min=1)
        loss = loss + loss_of(priors, predictions, half, gt, count)["loss_ce"]
    np.testing.assert_allclose(loss.detach(), case["loss_heat"], rtol=1e-5)
    (grad,) = torch.autograd.grad(loss, predictions.logits)
    cells = grad.shape[1] // 2
    expected = samples(case["loss_heat_grad_tl"], case["loss_heat_grad_tl"])[:, :cells]
    torch.testing.assert_close(grad[:, :cells], expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_embeddings(name):
    case = CASES[name]
    *most, gt = arguments(case)
    count = gt.valid.sum().clamp(min=1)
    losses = EmbeddingLoss(pull_weight=1, push_weight=1)(*most, gt, count)
    for kind in ("pull", "push"):
        loss = losses[f"loss_{kind}"]
        np.testing.assert_allclose(loss.detach(), case[f"loss_{kind}"], rtol=1e-5, atol=1e-7)
        (grad,) = torch.autograd.grad(loss, most[1].embedding, retain_graph=True)
        expected = case[f"loss_{kind}_grad_tl_emb"].reshape(1, -1)
        np.testing.assert_allclose(grad[:, : expected.shape[1]], expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("name", CASES)
def test_offsets(name):
    """In the reference the last object of a cell counts alone."""
    case = CASES[name]
    priors, predictions, assignment, gt = arguments(case)
    loss = predictions.offset.sum() * 0
    for half in halves(assignment):
        later = half.sample[:, :, None] == half.sample[:, None]
        later = (later & half.positive[:, None]).triu(diagonal=1).any(dim=-1)
        last = only(half, ~later)
        count = last.positive.sum().clamp(min=1)
        loss = loss + OffsetLoss()(priors, predictions, last, gt, count)["loss_offset"]
    np.testing.assert_allclose(loss.detach(), case["loss_off"], rtol=1e-5)
    (grad,) = torch.autograd.grad(loss, predictions.offset)
    cells = grad.shape[1] // 2
    expected = samples(case["loss_off_grad_tl"], case["loss_off_grad_tl"])[:, :cells]
    torch.testing.assert_close(grad[:, :cells], expected, rtol=1e-4, atol=1e-6)


def test_images_do_not_push_each_other():
    names = ["0_random", "2_single"]
    images = [ground_truth(CASES[name], (128, 96)) for name in names]
    both, priors = concat(images), priors_of(CASES[names[0]])
    parts = [predictions_of(CASES[name]) for name in names]
    fields = {k: torch.cat([getattr(x, k) for x in parts])
              for k in ("logits", "boxes", "offset", "embedding")}  # fmt: skip
    predictions, one = replace(parts[0], **fields), torch.ones(())
    loss = EmbeddingLoss(pull_weight=1, push_weight=1)
    batch = loss(priors, predictions, CornerCells()(priors, predictions, both), both, one)
    for name in ("pull", "push"):
        alone = sum(case[f"loss_{name}"] * len(case["gt_boxes"])
                    for case in (CASES[n] for n in names))  # fmt: skip
        np.testing.assert_allclose(batch[f"loss_{name}"].detach(), alone, rtol=1e-5)
