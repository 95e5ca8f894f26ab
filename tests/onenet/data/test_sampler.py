from itertools import chain, islice

import numpy as np
import pytest
from detectron2.data.samplers import TrainingSampler
from detectron2.utils import comm
from onenet.data.sampler import SeededDataset, TrainingBatches
from torch.utils.data import DataLoader

GROUPS = [0, 1, 1, 0, 0, 1, 0, 0, 0, 1, 0]


def batches(groups=GROUPS, size=3, start=0, count=20):
    stream = TrainingBatches(TrainingSampler(len(groups), seed=5), size, groups)
    stream.start = start
    return list(islice(stream, count))


@pytest.mark.parametrize("start", [1, 2, 7])
def test_any_iteration_can_be_the_first(start):
    assert batches(start=start, count=20 - start) == batches()[start:]


def test_a_batch_is_of_one_group():
    for batch in batches():
        assert len(batch) == 3
        assert len({GROUPS[draw.index] for draw in batch}) == 1


def test_without_groups_it_is_the_sampler_in_its_order():
    drawn = list(chain.from_iterable(batches(groups=[False] * 11)))
    assert [draw.position for draw in drawn] == list(range(60))
    expected = list(islice(TrainingSampler(11, seed=5), 60))
    assert [draw.index for draw in drawn] == expected


def test_processes_share_one_stream(monkeypatch):
    groups = [0] * 11
    alone = batches(groups, size=4)
    monkeypatch.setattr(comm, "get_world_size", lambda: 2)
    shares = []
    for rank in range(2):
        monkeypatch.setattr(comm, "get_rank", lambda rank=rank: rank)
        shares.append(batches(groups, size=2))
    for whole, first, second in zip(alone, *shares, strict=True):
        assert sorted(first + second) == whole


def test_random_numbers_belong_to_the_position():
    def mapper(record):
        return record, np.random.rand()

    def load(num_workers, start):
        stream = TrainingBatches(TrainingSampler(3, seed=0), 2, [0] * 3)
        stream.start = start
        dataset = SeededDataset("abc", [mapper], seed=4)
        loader = DataLoader(dataset, batch_sampler=stream, num_workers=num_workers, collate_fn=list)
        return list(islice(loader, 6 - start))

    samples = load(num_workers=0, start=0)
    assert len({number for _, number in chain.from_iterable(samples)}) == 12
    assert load(num_workers=2, start=2) == samples[2:]


def test_all_of_a_batch_have_one_mapper_also_in_several_processes(monkeypatch):
    mappers = [lambda record, number=number: number for number in range(3)]
    dataset = SeededDataset(range(11), mappers, seed=4)
    monkeypatch.setattr(comm, "get_world_size", lambda: 2)
    chosen = []
    for rank in range(2):
        monkeypatch.setattr(comm, "get_rank", lambda rank=rank: rank)
        chosen.append([{dataset[draw] for draw in batch} for batch in batches([0] * 11)])
    assert chosen[0] == chosen[1]
    assert {len(of_batch) for of_batch in chosen[0]} == {1}
    assert set.union(*chosen[0]) == {0, 1, 2}
