"""The endless stream of training batches, which can be entered at any iteration."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import count, islice
from typing import Any, NamedTuple

import numpy as np
from detectron2.utils import comm
from torch.utils.data import Dataset, Sampler

from ..randomness import seed_all

Mapper = Callable[[Any], dict[str, Any]]  # turns a record into a training sample


class Draw(NamedTuple):
    """One image of a batch."""

    position: int  # in the stream of all processes
    index: int  # into the dataset
    batch: int  # number of the batch, the same in all processes


class TrainingBatches(Sampler):
    """Batches of one process, as lists of draws.

    They are made of indices, before any image is read. Entering the stream at iteration i
    therefore costs a fraction of a microsecond for each draw before it, and gives the batches that
    a run from the beginning has from there on.

    Args:
        sampler: endless and seeded, gives this process its share of a common stream: every n-th
            index from the rank-th on, as the samplers of Detectron2 do.
        batch_size: images of this process in a step.
        groups: for each image of the dataset a number; a batch is of one group. Detectron2 groups
            wide and tall images.
    """

    def __init__(self, sampler: Sampler, batch_size: int, groups: Sequence[int]):
        self.sampler = sampler
        self.batch_size = batch_size
        self.groups = groups
        self.start = 0  # iteration whose batch comes first

    def __iter__(self) -> Iterator[list[Draw]]:
        return islice(self._all(), self.start, None)

    def _all(self) -> Iterator[list[Draw]]:
        pending: dict[int, list[tuple[int, int]]] = {}
        numbers = count()
        positions = count(comm.get_rank(), comm.get_world_size())
        for position, index in zip(positions, self.sampler, strict=False):
            batch = pending.setdefault(self.groups[index], [])
            batch.append((position, index))
            if len(batch) == self.batch_size:
                del pending[self.groups[index]]
                number = next(numbers)
                yield [Draw(*draw, number) for draw in batch]


class SeededDataset(Dataset):
    """Maps the record of a draw with random numbers that depend only on its position.

    Which process or worker does it, and what it did before, makes no difference. The generators of
    that process are left as they are after it.

    Args:
        records: what to map, by index.
        mappers: the number of a batch decides which of them maps all of it.
        seed: of the run, the same in all processes.
    """

    def __init__(self, records: Sequence[Any], mappers: Sequence[Mapper], seed: int):
        self.records = records
        self.mappers = mappers
        self.seed = seed

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, draw: Draw) -> dict[str, Any]:
        choice = np.random.default_rng((self.seed, draw.batch)).integers(len(self.mappers))
        seed_all(self.seed, draw.position)
        return self.mappers[choice](self.records[draw.index])
