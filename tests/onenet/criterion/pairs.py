"""Assignments by hand."""

import torch
from onenet import Assignment

# Of the three images one has no object; sample 7 is shared, twice for the same class.
SHARED = {
    "sample": [[7, 7, 7, 2], [0, 0, 0, 0], [59, 3, 3, 3]],
    "gt": [[0, 1, 2, 3], [0, 1, 2, 3], [3, 2, 1, 0]],
    "weight": [[1.0, 1.0, 0.5, 0.0], [0.0] * 4, [1.0, 2.0, 1.0, 1.0]],
}
SCORES = [[0.3, 0.9, 0.0, 0.8], [1.0] * 4, [0.5, 0.2, 0.7, 0.7]]


def make_pairs(sample, gt, weight=None, score=None, **kwargs):
    """An assignment from lists of one row an image."""
    sample = torch.tensor(sample)
    weight = torch.ones(sample.shape) if weight is None else torch.tensor(weight)
    score = torch.ones(sample.shape) if score is None else torch.tensor(score)
    return Assignment(sample, torch.tensor(gt), weight, score, **kwargs)
