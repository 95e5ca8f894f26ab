import pytest
import torch
from onenet.assignment.hungarian import solve_hungarian
from scipy.optimize import linear_sum_assignment

pytestmark = pytest.mark.numeric


def cheapest(cost, count):
    return cost.topk(min(count, cost.shape[-1]), largest=False)


@pytest.mark.parametrize("ground_truths, samples", [(1, 1), (4, 100), (9, 9), (7, 3), (30, 40)])
@pytest.mark.parametrize("tied", [False, True])
def test_listed_pairs_are_enough_for_the_least_total(ground_truths, samples, tied):
    generator = torch.Generator().manual_seed(ground_truths)
    cost = torch.rand(20, ground_truths, samples, generator=generator)
    if tied:
        cost = (cost * 4).round()
    valid = torch.rand(20, ground_truths, generator=generator) < 0.8
    listed, sample = cheapest(cost, min(ground_truths, samples))
    chosen, matched = solve_hungarian(listed, sample, valid)
    for image in range(20):
        full = cost[image][valid[image]].double().numpy()
        least = full[linear_sum_assignment(full)].sum()
        used = matched[image]
        total = cost[image, used, chosen[image, used]].double().sum().item()
        assert total == pytest.approx(least, abs=1e-5)
        assert used.sum() == min(valid[image].sum(), samples)
        assert len(chosen[image, used].unique()) == used.sum()
        assert not (used & ~valid[image]).any()


def test_contention_for_one_sample_is_resolved_by_the_total():
    cost = torch.tensor([[[0.0, 1.0, 9.0], [0.0, 5.0, 9.0]]])
    chosen, matched = solve_hungarian(*cheapest(cost, 2), torch.ones(1, 2, dtype=torch.bool))
    assert chosen.tolist() == [[1, 0]] and matched.all()


def test_negative_and_very_large_costs():
    cost = torch.tensor([[[-3.0, 1e8], [-2.0, 1e8]]])
    chosen, matched = solve_hungarian(*cheapest(cost, 2), torch.ones(1, 2, dtype=torch.bool))
    assert matched.all() and sorted(chosen[0].tolist()) == [0, 1]


def test_no_ground_truth():
    chosen, matched = solve_hungarian(
        torch.rand(2, 1, 1), torch.zeros(2, 1, 1, dtype=torch.int64), torch.zeros(2, 1).bool()
    )
    assert chosen.shape == matched.shape == (2, 1)
    assert not matched.any()
