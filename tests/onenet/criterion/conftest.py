import pytest
import torch


@pytest.fixture
def problem(make_problem):
    """Three images, of which one has no object and the others several of a class."""
    problem = make_problem(objects=(4, 0, 4))
    problem.gt.labels[0] = torch.tensor([1, 1, 2, 0])
    problem.gt.labels[2] = torch.tensor([3, 3, 3, 0])
    return problem
