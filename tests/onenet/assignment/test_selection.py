import pytest
import torch
from onenet.assignment.selection import SmallestSoFar, smallest


@pytest.mark.parametrize("length, count", [(1, 1), (5, 9), (9, 5), (64, 4), (1000, 7), (997, 30)])
def test_finds_what_topk_finds(length, count):
    values = torch.randn(2, 3, length)
    found, index = smallest(values, count)
    expected = values.topk(min(count, length), largest=False).values
    assert torch.equal(found.sort(dim=-1).values, expected)
    assert torch.equal(values.gather(-1, index), found)


def test_equal_values_are_found_once_each():
    _, index = smallest(torch.zeros(1, 400), 6)
    assert len(set(index[0].tolist())) == 6
    assert index.max() < 400


@pytest.mark.parametrize("length", [103, 400, 419])
def test_finds_the_end_of_a_row(length):
    values = torch.arange(length, 0.0, -1)[None]
    found, index = smallest(values, 3)
    assert sorted(index[0].tolist()) == [length - 3, length - 2, length - 1]
    assert sorted(found[0].tolist()) == [1, 2, 3]


def test_runs_without_data():
    found, index = smallest(torch.empty(2, 500, device="meta"), 4)
    assert found.shape == index.shape == (2, 4)


@pytest.mark.parametrize("step", [1, 7, 100, 500])
@pytest.mark.parametrize("count", [1, 6, 600])
def test_pieces_are_searched_like_one_row(step, count):
    values = torch.randint(-9, 9, (2, 3, 500)).float()  # many are equal
    values[0, 0, :3] = torch.tensor([torch.inf, -torch.inf, -0.0])
    search = SmallestSoFar(count)
    for start in range(0, 500, step):
        search.add(values[..., start : start + step], start)
    found, index = search.result()
    expected = values.sort(dim=-1, stable=True)
    assert torch.equal(found, expected.values[..., :count])
    assert torch.equal(index, expected.indices[..., :count])


def test_pieces_without_data():
    search = SmallestSoFar(4)
    search.add(torch.empty(2, 500, device="meta"), 0)
    search.add(torch.empty(2, 3, device="meta"), 500)
    found, index = search.result()
    assert found.shape == index.shape == (2, 4) and found.dtype == torch.float32
