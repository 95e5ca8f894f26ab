import pytest
import torch
from onenet.criterion import CLASS_LOSSES, GHMBoxLoss, GHMClassLoss, build_losses
from onenet.criterion.harmonized_losses import GradientHarmonizer
from onenet.errors import ConfigError
from torch.nn.functional import binary_cross_entropy_with_logits

from .pairs import make_pairs
from .test_class_losses import class_loss

pytestmark = pytest.mark.numeric

CALLS = range(3)


def as_in_the_reference(loss):
    """Without the correction of the moving average."""
    loss.harmonizer.gradient_counts[1] = 1
    return loss


def assert_grad(actual, expected):
    atol = 1e-5 * expected.abs().max().item()
    torch.testing.assert_close(actual, expected, rtol=1e-3, atol=atol)


def dense_pairs(target, weight, make_gt):
    """Targets (n, K) of 0 and 1 as one pair for each 1."""
    sample, label = target.nonzero().unbind(dim=1)
    pairs = make_pairs([sample.tolist()], [list(range(len(sample)))], cls_weight=weight[None])
    return pairs, make_gt(label)


@pytest.fixture
def make_gt(make_problem):
    def make(labels):
        gt = make_problem(objects=(max(1, len(labels)),), samples=1).gt
        gt.labels[0, : len(labels)] = labels
        return gt

    return make


@pytest.mark.golden("losses2", kind="ghm")
def test_classes_of_the_reference(case, make_gt):
    loss = as_in_the_reference(
        GHMClassLoss(weight=1.0, bins=case["c_bins"], momentum=case["c_momentum"])
    )
    for call in CALLS:
        logits, target, weight, expected, grad = (
            case[f"call{call}_c_{key}"] for key in ("logits", "target", "weight", "loss", "grad")
        )
        pairs, gt = dense_pairs(target, weight, make_gt)
        logits = logits[None].clone().requires_grad_()
        actual = class_loss(loss, logits, pairs, gt)
        assert actual.item() == pytest.approx(expected, rel=1e-4, abs=3e-5)
        assert_grad(torch.autograd.grad(actual, logits)[0][0], grad)
        if case["c_momentum"]:
            counts = case[f"call{call}_c_acc"]
            torch.testing.assert_close(loss.harmonizer.gradient_counts[0], counts)


@pytest.mark.golden("losses2", kind="ghm")
def test_boxes_of_the_reference(case):
    loss = as_in_the_reference(GHMBoxLoss(weight=10.0, momentum=case["r_momentum"]))
    for call in CALLS:
        pred, target, weight, expected, grad = (
            case[f"call{call}_r_{key}"] for key in ("pred", "target", "weight", "loss", "grad")
        )
        pred = pred.clone().requires_grad_()
        actual = loss.harmonized(pred - target, weight)
        assert actual.item() == pytest.approx(expected, rel=1e-4, abs=3e-5)
        assert_grad(torch.autograd.grad(actual, pred)[0], grad)
        if case["r_momentum"]:
            counts = case[f"call{call}_r_acc"]
            torch.testing.assert_close(loss.harmonizer.gradient_counts[0], counts)


@pytest.mark.parametrize("momentum", [0.0, 0.75])
def test_first_step_is_not_too_large(momentum):
    norm = torch.rand(50)
    harmonizer, valid = GradientHarmonizer(10, momentum), torch.ones(50, dtype=torch.bool)
    counts = torch.histc(norm, 10, 0, 1)
    expected = 1 / counts[(norm * 10).long()] / (counts > 0).sum()
    torch.testing.assert_close(harmonizer(norm, valid), expected)
    # Nor are later ones, if nothing changes.
    torch.testing.assert_close(harmonizer(norm, valid), expected)


def test_average_goes_on_where_a_checkpoint_was_made():
    norm, valid = torch.rand(2, 40), torch.ones(40, dtype=torch.bool)
    first, second = GradientHarmonizer(5, 0.7), GradientHarmonizer(5, 0.7)
    first(norm[0], valid)
    second.load_state_dict(first.state_dict())
    assert first(norm[1], valid).equal(second(norm[1], valid))


def test_a_bin_that_stays_empty_keeps_its_average():
    harmonizer, valid = GradientHarmonizer(2, 0.5), torch.ones(4, dtype=torch.bool)
    low, high = torch.tensor([0.1] * 4), torch.tensor([0.1, 0.1, 0.9, 0.9])
    for norm in (high, low, low):
        harmonizer(norm, valid)
    assert harmonizer.gradient_counts[1].tolist() == [0.875, 0.5]
    assert harmonizer(high, valid).tolist() == pytest.approx([1 / 5.6] * 2 + [1 / 4] * 2)


def test_every_range_of_gradients_counts_alike(problem):
    logits = torch.full((3, 60, 4), -1.0)
    logits[0, 0] = 3.0
    pairs = make_pairs([[5], [0], [0]], [[0]] * 3, weight=[[0.0]] * 3)
    loss = class_loss(CLASS_LOSSES["ghm_c"](weight=1.0), logits, pairs, problem.gt)
    easy, hard = (
        binary_cross_entropy_with_logits(torch.tensor(x), torch.tensor(0.0)) for x in (-1.0, 3.0)
    )
    torch.testing.assert_close(loss, (easy + hard) / 2)


@pytest.mark.parametrize("key, name", [("CLASS_LOSS", "ghm_c"), ("BOX_LOSS", "ghm_r")])
def test_parts_of_a_batch_are_refused(tiny_cfg, key, name):
    cfg = tiny_cfg("FCOS", f"MODEL.OneNet.{key}", name, "SOLVER.ACCUMULATE", 2)
    with pytest.raises(ConfigError, match=f"{key} {name} .* use SOLVER.ACCUMULATE 1"):
        build_losses(cfg)
    cfg.SOLVER.ACCUMULATE = 1
    assert len(build_losses(cfg)) == 3


def test_no_sample_at_all_costs_nothing(problem):
    nothing = torch.zeros(3, 60, 1)
    pairs = make_pairs([[5], [0], [0]], [[0]] * 3, weight=[[0.0]] * 3, cls_weight=nothing)
    logits = problem.predictions.logits
    assert class_loss(GHMClassLoss(), logits, pairs, problem.gt) == 0
