import random

import numpy as np
import torch
from onenet.randomness import keeping_random_state, seed_all


def draw():
    return random.random(), np.random.rand(), torch.rand(()).item()


def test_the_key_decides_all_of_them():
    seed_all(1, 0, 7)
    first = draw()
    assert draw() != first
    seed_all(1, 0, 7)
    assert draw() == first


def test_each_number_of_the_key_counts():
    keys = [(1, 0, 7), (2, 0, 7), (1, 1, 7), (1, 0, 8), (0, 1, 7), (1, 0)]
    drawn = []
    for key in keys:
        seed_all(*key)
        drawn.append(draw())
    for numbers in zip(*drawn, strict=True):
        assert len(set(numbers)) == len(keys)


def test_python_numpy_and_pytorch_are_unrelated():
    seed_all(3)
    assert len(set(draw())) == 3


def test_random_numbers_are_the_same_as_without_what_is_kept_apart():
    seed_all(1)
    expected = draw(), draw()
    seed_all(1)
    first = draw()
    with keeping_random_state():
        draw()
    assert (first, draw()) == expected
