import numpy as np
import pytest
import torch
from onenet.modeling.heads.corner_pooling import (
    bottom_right_pool,
    max_by_doubling,
    running_max,
    top_left_pool,
)

from ....assigners.golden import load

GOLDEN = load("cornernet")
WAYS = {"top": (2, True), "bottom": (2, False), "left": (3, True), "right": (3, False)}


@pytest.mark.parametrize("index", range(int(GOLDEN["num_pool"])))
@pytest.mark.parametrize("way", WAYS)
def test_reference(way, index):
    x = torch.from_numpy(GOLDEN[f"pool{index:03d}_x"])
    for function in (running_max, max_by_doubling):
        assert np.array_equal(function(x, *WAYS[way]), GOLDEN[f"pool{index:03d}_{way}"])


def test_a_corner_sees_both_of_its_sides():
    x = torch.zeros(1, 1, 5, 6)
    x[..., 1, 4], x[..., 3, 2] = 1, 2  # on the upper and on the left side
    zero = torch.zeros_like(x)
    corner = top_left_pool(x, x)
    assert corner[..., 1, 2] == 3 and corner.max() == 4
    assert top_left_pool(x, zero)[..., 1, 2] == 1 and top_left_pool(zero, x)[..., 1, 2] == 2
    assert bottom_right_pool(x, x)[..., 3, 4] == 3
    assert bottom_right_pool(x, zero)[..., 3, 4] == 2 and bottom_right_pool(zero, x)[..., 3, 4] == 1
