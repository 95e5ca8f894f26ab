"""What an assigner is timed beside assigns the same."""

import sys
from pathlib import Path

import pytest
import torch

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def assignment(monkeypatch):
    """benchmarks/assignment.py, as a program imports its modules."""
    monkeypatch.syspath_prepend(FOLDER)
    before = set(sys.modules)
    import assignment

    yield assignment
    for name in ("assignment", "dynamic_references", "references", "timing"):
        if name not in before:
            del sys.modules[name]


def test_the_loop_of_paa(assignment):
    priors = assignment.grid_priors(assignment.STRIDES)
    rules = assignment.dynamic_benchmarks(priors, assignment.random_ground_truth(20))
    ours, theirs = next((ours, theirs) for name, ours, theirs in rules if name == "PAA")
    positive = ours().dense_gt() >= 0
    assert positive.sum() > 100
    assert torch.equal(positive, torch.stack(theirs["image loop"]()))
