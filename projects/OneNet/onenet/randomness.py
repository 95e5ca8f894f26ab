"""Random numbers as a function of what they are for, so that none has to be remembered."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def seed_all(*key: int) -> None:
    """Seed Python, NumPy and PyTorch, on the CPU and on the GPUs that are in use.

    Args:
        key: non-negative numbers, such as the seed of a run, a rank and an iteration. Keys that
            differ in any of them give unrelated random numbers.
    """
    words = np.random.SeedSequence(key).generate_state(6)
    np.random.seed(words[:4])
    random.seed(int(words[4]))
    # torch.manual_seed does the same, but looks for every kind of device each time, which takes
    # longer than all the rest.
    torch.default_generator.manual_seed(int(words[5]))
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(int(words[5]))


@contextmanager
def keeping_random_state() -> Iterator[None]:
    """Leave the random numbers of Python, NumPy and PyTorch as they would be without the body."""
    python_state, numpy_state = random.getstate(), np.random.get_state()
    devices = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []
    try:
        with torch.random.fork_rng(devices):
            yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
