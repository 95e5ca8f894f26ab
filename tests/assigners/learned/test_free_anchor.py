import pytest
import torch
from assigners import FreeAnchor
from detectron2.modeling.box_regression import Box2BoxTransform
from onenet import ConfigError, Predictions
from onenet.geometry import elementwise_iou

from ..golden import anchor_priors, cases, concat, ground_truth, load
from .gradients import LOSSES, check_losses

DATA = load("freeanchor")
CASES = dict(cases(DATA))
TRANSFORM = Box2BoxTransform(weights=(10.0, 10.0, 5.0, 5.0))


class Problem:
    """Images of the reference; with gradients."""

    def __init__(self, *images):
        self.priors = anchor_priors(
            DATA[f"grid_{images[0]['grid']}_anchors"], DATA["grid_level_hw"]
        )
        self.logits, self.deltas = (
            torch.stack([torch.from_numpy(case[key]) for case in images]).requires_grad_()
            for key in ("logits", "deltas")
        )
        anchors = self.priors.boxes.repeat(len(images), 1)
        boxes = TRANSFORM.apply_deltas(self.deltas.flatten(0, 1), anchors)
        self.predictions = Predictions(self.logits, boxes.view_as(self.deltas))
        self.gt = concat([ground_truth(case) for case in images])
        # Of the reference, in the order of its anchors.
        self.bags = torch.zeros(*self.gt.labels.shape, 50, dtype=torch.int64)
        for bags, case in zip(self.bags, images, strict=True):
            bags[: len(case["bag_idx"])] = torch.from_numpy(case["bag_idx"])

    def losses(self):
        """With the stored bags: where overlaps tie, others would do."""
        criterion = FreeAnchor()
        criterion.assigner.bags = lambda priors, predictions, gt: (self.bags, gt.valid)
        return criterion(self.priors, self.predictions, self.gt)


@pytest.mark.parametrize("max_pairs", [0, 500])
@pytest.mark.parametrize("name", CASES)
def test_bags(name, max_pairs):
    case, problem = CASES[name], Problem(CASES[name])
    assigner, count = FreeAnchor(max_pairs=max_pairs).assigner, len(case["bag_idx"])
    sample, found = assigner.bags(problem.priors, problem.predictions, problem.gt)
    assert found.sum() == count
    ours, stored = sample[0, :count].sort(dim=-1).values, problem.bags[0, :count]
    unique = torch.from_numpy(case["bag_unique"]).bool()
    assert torch.equal(ours[unique], stored[unique])
    overlaps = [
        elementwise_iou(problem.priors.boxes[bags], problem.gt.boxes[0, :count, None]).sort().values
        for bags in (ours, stored)
    ]
    assert torch.equal(*overlaps)


@pytest.mark.parametrize("max_pairs", [0, 500])
@pytest.mark.parametrize("name", CASES)
def test_match_probabilities(name, max_pairs):
    case, problem = CASES[name], Problem(CASES[name])
    pieces = FreeAnchor(max_pairs=max_pairs).match_probabilities(
        problem.predictions.boxes.detach(), problem.gt, problem.logits.shape[-1]
    )
    matched = torch.cat(list(pieces), dim=-1)
    expected = torch.zeros_like(matched[0].T)
    expected[tuple(case["box_prob_idx"].T)] = torch.from_numpy(case["box_prob"])
    torch.testing.assert_close(matched[0].T, expected, rtol=0, atol=2e-4)


@pytest.mark.parametrize("name", CASES)
def test_losses_and_gradients(name):
    problem = Problem(CASES[name])
    leaves = {"logits": problem.logits, "deltas": problem.deltas}
    check_losses(CASES[name], problem.losses(), leaves)


@pytest.mark.parametrize("group", range(DATA["num_groups"]))
def test_batches(group):
    names = [list(CASES)[index] for index in DATA[f"group{group:02d}_cases"]]
    losses = Problem(*(CASES[name] for name in names)).losses()
    for key, loss in losses.items():
        expected = DATA[f"group{group:02d}_{key}"].item()
        torch.testing.assert_close(loss.item(), expected, **LOSSES)


def test_a_bag_agrees_on_the_best_of_it():
    """Shown are all while none is good, and one when it is."""
    problem = Problem(CASES["2_single"])
    assigner, target = FreeAnchor().assigner, problem.gt.boxes[0, 0]
    sample, _ = assigner.bags(problem.priors, problem.predictions, problem.gt)
    predictions = Predictions(torch.full_like(problem.logits, -6), problem.predictions.boxes)
    early = assigner(problem.priors, predictions, problem.gt)
    assert early.positive.sum() == 50
    predictions.logits[0, sample[0, 0, 7]] = 6
    predictions.boxes.detach()[0, sample[0, 0, 7]] = target
    late = assigner(problem.priors, predictions, problem.gt)
    assert (late.dense_gt()[0] >= 0).nonzero().tolist() == [[sample[0, 0, 7].item()]]


def test_an_object_beside_all_anchors_has_no_bag():
    problem = Problem(CASES["2_single"])
    problem.gt.boxes[:] = torch.tensor([5000.0, 5000, 5010, 5010])
    losses = FreeAnchor()(problem.priors, problem.predictions, problem.gt)
    assert losses["loss_pos"] == 0
    assert losses["loss_neg"] > 0


@pytest.mark.parametrize(
    "key, value", [("topk", 0), ("threshold", 1.0), ("alpha", 1.5), ("box_weight", -1.0)]
)
def test_settings_are_checked(key, value):
    with pytest.raises(ConfigError, match=rf"FREE_ANCHOR\.{key.upper()} must .* got {value}"):
        FreeAnchor(**{key: value})
