"""What explanations say of every registered assigner: their verdict is what it did."""

import re
from dataclasses import replace

import pytest
import torch
from onenet import Assignment, Criterion, MinCost
from onenet.assignment import (
    OHEM,
    Condition,
    Explanation,
    HardNegatives,
    IgnoreRegions,
    IoUBalancedSampling,
    IoUTargets,
    RandomSampling,
)
from onenet.geometry import box_centers

from .assigner_cases import CASES, EXAMPLE, EXAMPLE_NAME, HEADS, PAGE, build, scene
from .test_assigner_contract import DEGENERATE
from .test_criterion_contract import CASES as CRITERION_CASES
from .test_criterion_contract import Step
from .test_criterion_contract import build as build_criterion

pytestmark = pytest.mark.numeric

# Objects of one middle, some of one size, in front of some that are not there.
CROWD = [[[90.0 - i % 4, 60, 120 + 9 * i, 100 + 6 * i] for i in range(8)], [[90.0, 60, 120, 100]]]
LABELS = [[0, 1, 2, 3, 0, 1, 2, 3], [4]]
# Each rule under one head.
RULES = list({case.id.split("-", 1)[1]: case for case in CASES}.values())


def check(assigner, data):
    explanation = assigner.explain(data.priors, data.predictions, data.gt)
    assignment = assigner(data.priors, data.predictions, data.gt)
    assert torch.equal(explanation.verdict, assignment.dense_gt())
    return explanation


@pytest.mark.parametrize("head, name, options", CASES)
def test_the_verdict_is_the_assignment(head, name, options):
    assigner = build(head, name, options, max_pairs=20_000)  # in pieces
    check(assigner, scene(head))
    check(assigner, scene(head, CROWD, LABELS, slots=9))


@pytest.mark.parametrize("head, name, options", RULES)
@pytest.mark.parametrize("kind", DEGENERATE)
def test_the_verdict_of_degenerate_images(head, name, options, kind):
    objects = DEGENERATE[kind]
    data = scene(head, objects, [[1] * len(image) for image in objects], spread=1e4)
    check(build(head, name, options), data)


@pytest.mark.parametrize("head, name, options", RULES)
def test_the_verdict_with_a_quality_branch(head, name, options):
    data = scene(head, CROWD, LABELS)
    quality = torch.linspace(-1, 1, len(data.priors)).expand(2, -1)
    data = replace(data, predictions=replace(data.predictions, quality=quality))
    check(build(head, name, options), data)


@pytest.mark.parametrize("head, name, options", RULES)
def test_an_explanation_has_its_shape(head, name, options):
    data = scene(head, CROWD, LABELS)
    explanation = check(build(head, name, options), data)
    shape = (*data.gt.valid.shape, len(data.priors))
    conditions = [*explanation.conditions, *explanation.ignored]
    tensors = [*explanation.quantities.values(), *(x.passed for x in conditions)]
    tensors += [x.margin for x in conditions if x.margin is not None]
    assert {x.shape for x in tensors} == {torch.Size(shape)}
    assert {x.passed.dtype for x in conditions} == {torch.bool}
    positive = explanation.first_failed == len(explanation.conditions)
    assert torch.equal(positive & data.gt.valid[..., None], explanation.positive)
    assert (explanation.wanted | ~explanation.positive).all()
    assert len(explanation.describe(0, 0)) == len(explanation.conditions)


CRITERIA = list({case.id.split("-", 1)[1]: case for case in CRITERION_CASES}.values())


@pytest.mark.parametrize("head, name, options", CRITERIA)
def test_learned_rules_explain_themselves(head, name, options):
    criterion, data = build_criterion(head, name, options), scene(head, CROWD, LABELS, slots=9)
    regions = torch.tensor([[[60.0, 40, 130, 110]], [[0, 0, 250, 90]]])
    predictions = Step(head, data, criterion).predictions
    for gt in (data.gt, replace(data.gt, ignore_boxes=regions)):
        explanation = criterion.explain(data.priors, predictions, gt)
        assignment = criterion.assign(data.priors, predictions, gt)
        assert torch.equal(explanation.verdict, assignment.dense_gt())
        weights = [x for name, x in explanation.quantities.items() if "weight" in name]
        assert weights and all(x.isfinite().all() for x in weights)


SUBSAMPLERS = [
    IgnoreRegions(),
    RandomSampling(count=40),
    OHEM(count=40),
    IoUBalancedSampling(count=40),
    HardNegatives(),
]


@pytest.mark.parametrize("subsampler", SUBSAMPLERS, ids=lambda x: type(x).__name__)
def test_what_a_subsampler_leaves_out_is_explained(subsampler):
    head = "FCOS"
    data = scene(head, CROWD, LABELS)
    gt = replace(data.gt, ignore_boxes=torch.tensor([[[60.0, 40, 130, 110]]]).expand(2, -1, -1))
    criterion = Criterion(
        assigner=build(head, "MaxIoU"), losses=[], subsamplers=[subsampler, IoUTargets()]
    )
    state = torch.get_rng_state()
    explanation = criterion.explain(data.priors, data.predictions, gt)
    torch.set_rng_state(state)
    verdict = criterion.assign(data.priors, data.predictions, gt).dense_gt()
    assert torch.equal(explanation.verdict, verdict)
    *_, condition = explanation.conditions
    before = criterion.assigner(data.priors, data.predictions, gt).dense_gt()
    left_out = (verdict == -2) & (before != -2)
    assert left_out.any() and condition.name == f"not {subsampler.reason}"
    assert torch.equal(~condition.passed[:, 0], left_out)


def pairs(*rows):
    """(1, G, R) of a row for each ground truth."""
    return torch.tensor([rows])


def test_a_line_names_the_margin_and_its_side():
    condition = Condition("inside", pairs([True, False]), pairs([3.0, -7.2]), "px")
    assert condition.text(0, 0, 0) == "inside: yes, 3 px inside"
    assert condition.text(0, 0, 1) == "inside: no, 7.2 px outside"
    rank = Condition("among 9", pairs([True, False]), pairs([0.0, -2.0]))
    assert rank.text(0, 0, 0) == "among 9: yes, 0 to spare"
    assert rank.text(0, 0, 1) == "among 9: no, 2 short"


def test_a_line_is_silent_about_a_margin_that_did_not_decide():
    condition = Condition("enough, or the best", pairs([True, False]), pairs([-0.2, -torch.inf]))
    assert condition.text(0, 0, 0) == "enough, or the best: yes"
    assert condition.text(0, 0, 1) == "enough, or the best: no"


def example():
    """Two objects, the second is not there; of five samples the last is ignored."""
    data = scene("FCOS", [[[8.0, 8, 40, 40]]], [[0]], slots=2)
    near = Condition("near", pairs([True, True, False, True, False], [True] * 5))
    owner = Condition("mine", pairs([True, False, True, True, False], [True] * 5), contest=True)
    band = Condition("in between", pairs([True, False, False, False, True], [False] * 5))
    return Explanation.of(data.gt, 5, {}, [near, owner], [band])


def test_verdict_and_first_failure():
    explanation = example()
    assert explanation.verdict.tolist() == [[0, -1, -1, 0, -2]]
    assert explanation.first_failed[0, 0].tolist() == [2, 1, 0, 2, 0]
    assert explanation.wanted[0].tolist() == [[True, True, False, True, False], [False] * 5]
    assert explanation.describe(0, 1) == ["near: yes", "mine: no"]


def test_samples_that_are_not_kept_are_ignored():
    keep = torch.tensor([[True, True, False, False, True]])
    explanation = example().kept("left out in an ignore region", keep)
    assert explanation.verdict.tolist() == [[0, -1, -2, -2, -2]]
    assert explanation.describe(0, 3)[-1] == "not left out in an ignore region: no"


def test_a_rule_that_says_nothing_tells_what_it_has_chosen():
    head = next(iter(HEADS))
    data, assigner = scene(head), build(head, EXAMPLE_NAME)
    explanation = assigner.explain(data.priors, data.predictions, data.gt)
    assignment = assigner(data.priors, data.predictions, data.gt)
    sample = assignment.sample[0, 0].item()
    assert explanation.describe(0, sample) == [f"chosen by {EXAMPLE_NAME}: yes"]
    assert explanation.quantities["weight"].sum() == assignment.weight.sum()


def test_the_explanation_of_the_page():
    page = PAGE.read_text()
    names = {"torch": torch, "box_centers": box_centers, "NearestPoints": EXAMPLE}
    exec(re.findall(r"```python\n(.*?)```", page, re.DOTALL)[1], names)
    data = scene("FCOS")
    explanation = check(names["ExplainedNearestPoints"](topk=3), data)
    eighth = explanation.quantities["rank"][0, 0].tolist().index(7)
    assert f'`["{explanation.describe(0, eighth)[0]}"]`' in page


def test_an_assignment_tells_what_it_left_out():
    data = scene("FCOS", [[[8.0, 8, 40, 40]]], [[0]])
    assignment = Assignment(
        sample=torch.tensor([[1]]),
        gt=torch.tensor([[0]]),
        weight=torch.tensor([[1.0]]),
        score=torch.tensor([[0.5]]),
        cls_weight=torch.tensor([[[1.0], [1.0], [0.0]]]),
    )
    explanation = Explanation.of_assignment(data.gt, 3, assignment, "Rule")
    assert explanation.verdict.tolist() == [[-1, 0, -2]]
    assert explanation.quantities["class target"].tolist() == [[[0.0, 0.5, 0.0]]]


class Wrong(MinCost):
    """Its explanation makes a negative of one sample."""

    def explain(self, priors, predictions, gt):
        samples = torch.arange(len(priors)) != self.lost
        return super().explain(priors, predictions, gt).kept("lost", samples[None])


def test_a_wrong_explanation_is_noticed(explained):
    data, assigner = scene("CenterNet"), Wrong()
    assigner.lost = MinCost()(data.priors, data.predictions, data.gt).sample[1, 0]
    with pytest.raises(AssertionError):
        assigner(data.priors, data.predictions, data.gt)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("location", ["predictions", "priors"])
def test_terms_of_the_cost_sum_up_to_it(head, location):
    data = scene(head)
    assigner = MinCost(
        location=location, size_ranges=[(0, 32), (32, 64), (64, 128), (128, 256), (256, 512)]
    )
    quantities = dict(assigner.explain(data.priors, data.predictions, data.gt).quantities)
    cost, rank = quantities.pop("cost"), quantities.pop("rank of the cost")
    torch.testing.assert_close(sum(quantities.values()), cost, rtol=1e-5, atol=1e-5)
    assert torch.equal(cost.argmin(dim=-1), rank.argmin(dim=-1))


def test_margin_of_the_cheapest_sample_is_what_the_next_one_costs_more():
    data = scene("CenterNet")
    explanation = MinCost().explain(data.priors, data.predictions, data.gt)
    cost, (choice,) = explanation.quantities["cost"][0, 0], explanation.conditions
    first, second = cost.sort().values[:2]
    assert torch.equal(choice.margin[0, 0].max(), second - first)
    assert torch.equal(choice.margin[0, 0, cost.argmax()], first - cost.max())
