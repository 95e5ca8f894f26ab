import math

import pytest
import torch
from onenet.criterion import build_criteria
from onenet.criterion.selection import SelectionLoss
from onenet.structures import MAIN, Assignment, Predictions


def test_loss_by_hand():
    # Two samples of one image; the first is the object's.
    logits = torch.tensor([[[0.4, 0.9], [0.2, 0.5]]]).logit()
    selection = torch.tensor([[0.8, 0.6]]).logit()
    pair = torch.zeros(1, 1, dtype=torch.int64)
    assignment = Assignment(pair, pair, torch.ones(1, 1), torch.ones(1, 1), num_samples=2)
    predictions = Predictions(logits, torch.zeros(1, 2, 4), selection)
    arguments = None, predictions, assignment, None, torch.tensor(2.0)
    loss = SelectionLoss()(*arguments)["loss_selection"]
    expected = (-math.log(0.8) - 0.5**2 * math.log(1 - 0.6)) / 2
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_ignored_samples_take_no_part(make_problem):
    problem = make_problem(quality=True)
    keep = torch.rand_like(problem.predictions.quality) < 0.5
    quality = problem.predictions.quality.requires_grad_()
    pair = torch.zeros(len(quality), 0, dtype=torch.int64)
    nothing = Assignment(pair, pair, pair.float(), pair.float(), num_samples=quality.shape[1])
    arguments = problem.priors, problem.predictions, nothing.keep(keep), problem.gt
    SelectionLoss()(*arguments, torch.tensor(1.0))["loss_selection"].backward()
    assert torch.equal(quality.grad != 0, keep)


def test_the_selection_does_not_say_which_sample_is_positive(tiny_cfg, make_problem):
    problem = make_problem(quality=True)
    criterion = build_criteria(tiny_cfg("FCOS", "MODEL.OneNet.SELECTOR.ENABLED", True), ())[MAIN]
    before = criterion.assign(*vars(problem).values())
    problem.predictions.quality.neg_()
    after = criterion.assign(*vars(problem).values())
    assert torch.equal(before.sample, after.sample) and torch.equal(before.weight, after.weight)
