import pytest
import torch
from assigners import AutoAssign
from onenet import ConfigError, Predictions, Priors
from onenet.geometry import decode_ltrb, square_boxes

from ..golden import STRIDES, cases, concat, ground_truth, level_and_stride, load
from .gradients import LOSSES, check_losses

DATA = load("autoassign")
CASES = dict(cases(DATA))
NUM_CLASSES = 4
FORCED = int(DATA["hp_force_topk_k"])


def corner_priors(level_hw):
    """Points at the upper left corners of the cells, as the reference has them."""
    grids = [
        torch.cartesian_prod(torch.arange(int(h)) * s, torch.arange(int(w)) * s).flip(1).float()
        for (h, w), s in zip(level_hw, STRIDES, strict=True)
    ]
    sizes, points = tuple(map(len, grids)), torch.cat(grids)
    level, stride = level_and_stride(sizes)
    shapes = tuple((int(h), int(w)) for h, w in level_hw)
    return Priors(square_boxes(points, 8 * stride), points, stride, level, sizes, shapes)


class Problem:
    """Images of the reference with gradients, and a criterion with the Gaussians of the first."""

    def __init__(self, *images, max_pairs=0):
        first = images[0]
        self.priors = corner_priors(first["level_hw"])
        self.leaves = {
            key: torch.stack([torch.from_numpy(case[key]) for case in images]).requires_grad_()
            for key in ("logits", "objectness", "ltrb")
        }
        boxes = decode_ltrb(self.priors.points, self.leaves["ltrb"])
        self.predictions = Predictions(self.leaves["logits"], boxes, self.leaves["objectness"])
        self.gt = concat([ground_truth(case) for case in images])
        self.criterion = AutoAssign(
            NUM_CLASSES,
            force_topk=FORCED * int(first["force_topk"]),
            conflicts="last",
            max_pairs=max_pairs,
        )
        gaussians = self.criterion.assigner.center_prior
        gaussians.load_state_dict({key: torch.from_numpy(first[key]) for key in ("mu", "sigma")})
        self.leaves |= {"mu": gaussians.mu, "sigma": gaussians.sigma}

    def losses(self):
        return self.criterion(self.priors, self.predictions, self.gt)

    def class_weights(self, conflicts="last"):
        """(R, K)."""
        criterion = AutoAssign(NUM_CLASSES, conflicts=conflicts)
        criterion.assigner = self.criterion.assigner
        inputs = self.priors, self.predictions, self.gt
        pieces = list(criterion.class_positives(*inputs, criterion.bags(*inputs)))
        return 1 - torch.cat(pieces, dim=-1)[0].T


@pytest.mark.parametrize("max_pairs", [0, 300])
@pytest.mark.parametrize("name", CASES)
def test_losses_and_gradients(name, max_pairs):
    problem = Problem(CASES[name], max_pairs=max_pairs)
    check_losses(CASES[name], problem.losses(), problem.leaves)


@pytest.mark.parametrize("group", range(DATA["num_groups"]))
def test_batches(group):
    names = [list(CASES)[index] for index in DATA[f"group{group:02d}_cases"]]
    losses = Problem(*(CASES[name] for name in names)).losses()
    for key, loss in losses.items():
        expected = DATA[f"group{group:02d}_{key}"].item()
        torch.testing.assert_close(loss.item(), expected, **LOSSES)


@pytest.mark.parametrize("name", [name for name in CASES if name != "1_empty"])
def test_weights_of_pairs(name):
    case, problem = CASES[name], Problem(CASES[name])
    bags = problem.criterion.assigner
    (piece,) = bags.pieces(problem.priors, problem.predictions, problem.gt)
    inside = piece.inside()
    with torch.no_grad():
        weight, _, prior, _ = bags.weights(piece, inside)
    weight = weight / weight.sum(dim=-1, keepdim=True).clamp(min=1e-12)
    for key, value in {"inside": inside, "center_prior": prior, "pos_weight": weight}.items():
        expected = torch.from_numpy(case[key]).float()
        torch.testing.assert_close(value[0].T, expected, **LOSSES)


@pytest.mark.parametrize("name", CASES)
def test_negative_weights(name):
    expected = torch.from_numpy(CASES[name]["neg_weight"])
    weights = Problem(CASES[name]).class_weights()
    torch.testing.assert_close(weights, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_the_least_negative_weight_counts(name):
    """It is that of the reference, but where the order of the ground truths decides there."""
    case, problem = CASES[name], Problem(CASES[name])
    least, last = problem.class_weights("least"), problem.class_weights("last")
    assert (least <= last).all()
    differ, conflicts = int((least != last).sum()), int(case["neg_write_conflicts"])
    assert differ <= conflicts and bool(differ) == bool(conflicts)
    for field in ("boxes", "labels", "valid"):
        values = getattr(problem.gt, field)
        values.copy_(values.flip(1))
    assert torch.equal(problem.class_weights("least"), least)


def test_positive_are_the_samples_of_large_weight():
    case, problem = CASES["0_random"], Problem(CASES["0_random"])
    assignment = problem.criterion.assign(problem.priors, problem.predictions, problem.gt)
    weight = torch.from_numpy(case["pos_weight"])
    part, gt = (weight / weight.amax(dim=0)).max(dim=1)
    expected = torch.where(part >= 0.5, gt, -1)
    assert torch.equal(assignment.dense_gt()[0], expected)
    assert set(expected.tolist()) == {-1, *range(len(case["gt_boxes"]))}


@pytest.mark.parametrize("key, value", [("force_topk", -1), ("box_weight", -1.0)])
def test_settings_are_checked(key, value):
    with pytest.raises(ConfigError, match=rf"AUTO_ASSIGN\.{key.upper()} must .* got {value}"):
        AutoAssign(NUM_CLASSES, **{key: value})


def test_conflicts_are_one_of_two():
    with pytest.raises(ConfigError, match=r"CONFLICTS: unknown name .lasst.*last"):
        AutoAssign(NUM_CLASSES, conflicts="lasst")
