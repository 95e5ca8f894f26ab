"""What a step is timed beside computes the same losses."""

import runpy
from pathlib import Path

import pytest
import torch
from onenet import Criterion, MinCost
from onenet.criterion import FocalLoss, L1GIoULoss

OFFICIAL = Path(__file__).parents[3] / "benchmarks" / "official_step.py"


@pytest.mark.parametrize("solver", ["hungarian", "argmin"])
@pytest.mark.numeric
def test_the_official_losses_are_ours(make_problem, solver):
    official = runpy.run_path(str(OFFICIAL))
    problem = make_problem(objects=(3, 5, 0), samples=80)
    matches = official["match"](problem.predictions, problem.gt, solver)
    theirs = official["losses"](problem.predictions, problem.gt, matches)
    criterion = Criterion(assigner=MinCost(solver=solver), losses=[FocalLoss(), L1GIoULoss()])
    ours = criterion(problem.priors, problem.predictions, problem.gt)
    torch.testing.assert_close(theirs, ours, rtol=1e-5, atol=0)
