"""What every criterion with losses of its own has to keep, also one that is added tomorrow.

The scenes are those of the contract of assigners.
"""

from dataclasses import fields, replace

import pytest
import torch
from assigners import GuidedAnchoring
from onenet import Predictions
from onenet.criterion import CRITERION_REGISTRY, Normalizer
from onenet.modeling.heads.guide import scaled_boxes
from onenet.structures import Assignment, GuidedAnchors

from ...refused import REFUSED
from ...waits import waits
from .assigner_cases import HEADS, LABELS, config, map_tensors, scene
from .test_assigner_contract import DEGENERATE

pytestmark = pytest.mark.numeric

BUILDERS = dict(CRITERION_REGISTRY)
VARIANTS = {
    "AutoAssign": [("AUTO_ASSIGN.FORCE_TOPK", 9, "AUTO_ASSIGN.CONFLICTS", "last")],
    "FreeAnchor": [("FREE_ANCHOR.TOPK", 3)],
    "GuidedAnchoring": [("GUIDED_ANCHORING.CONFLICTS", "last")],
    "SAPD": [("SAPD.SOFT_SELECT", False)],
}
CASES = [
    pytest.param(head, name, options, id="-".join([head, name, *map(str, options)]))
    for head in HEADS
    for name in BUILDERS
    for options in [(), *VARIANTS.get(name, ())]
    if (head, name) not in REFUSED
]
CHANNELS = 4
# Objects that overlap each other, some of one class, and two that are the same.
CROWD = [[[20.0 + 4 * i, 30 + 3 * i, 90 + 6 * i, 80 + 7 * i] for i in range(12)]] * 2
CROWD[0][3] = CROWD[0][4]
CROWD_LABELS = [0, 1, 2, 0, 0, 1, 2, 0, 1, 2, 0, 1]


class Local(Normalizer):
    """Collects the denominators and divides by 1."""

    def __init__(self):
        super().__init__()
        self.locals = []

    def of(self, local, objects=False):
        self.locals.append(local)
        return torch.ones_like(local, dtype=torch.float32)


def build(head, name, options=(), max_pairs=1 << 18, normalizer=None):
    cfg = config(head).clone()
    options = ["MAX_PAIRS", max_pairs, *options]
    keys = [f"MODEL.OneNet.ASSIGNER.{key}" for key in options[::2]]
    cfg.MODEL.FPN.OUT_CHANNELS = CHANNELS
    cfg.merge_from_list([x for pair in zip(keys, options[1::2], strict=True) for x in pair])
    torch.manual_seed(0)
    return BUILDERS[name](cfg, normalizer=normalizer, weight=(1.0, 1.0))


class Step:
    """The arguments of a criterion as leaves, all that a head may predict, and its losses."""

    def __init__(self, head, data, criterion):
        self.data, self.criterion = data, criterion
        shape = data.predictions.logits.shape[:2]
        quality = torch.linspace(-1, 1, shape[1], device=data.priors.stride.device).expand(shape)
        tensors = data.predictions.logits, data.predictions.boxes, quality
        self.leaves = [x.clone().requires_grad_() for x in tensors]
        anchors = None
        if isinstance(criterion, GuidedAnchoring):
            anchors = anchors_of(data)
            self.leaves += [anchors.location, anchors.boxes]
        self.predictions = Predictions(*self.leaves[:3], anchors)
        self.features = [self._feature(*shape) for shape in data.priors.shapes]

    def _feature(self, height, width):
        """(B, C, H, W), the same for every image."""
        device = self.data.priors.stride.device
        values = torch.arange(CHANNELS * height * width, device=device).sin()
        images = len(self.data.gt.labels)
        return values.view(1, CHANNELS, height, width).expand(images, -1, -1, -1)

    def losses(self):
        return self.criterion(self.data.priors, self.predictions, self.data.gt, self.features)

    def grads(self):
        for leaf in (*self.leaves, *self.criterion.parameters()):
            leaf.grad = None
        sum(self.losses().values()).backward()
        return [leaf.grad for leaf in self.leaves], [p.grad for p in self.criterion.parameters()]


def anchors_of(data):
    """The prior boxes in several shapes, the same in every image, as leaves."""
    images, priors = len(data.gt.labels), data.priors
    wave = torch.arange(len(priors), device=priors.stride.device)[:, None]
    wave = 0.4 * (wave * wave.new_tensor([1, 2])).sin().expand(images, -1, -1)
    boxes = scaled_boxes(priors.boxes, wave).clone().requires_grad_()
    return GuidedAnchors(wave[..., 0].clone().requires_grad_(), boxes)


def check_finite(step):
    losses = step.losses()
    assert losses and all(loss.isfinite() and loss.shape == () for loss in losses.values()), losses
    assert all(loss.dtype == torch.float32 for loss in losses.values())
    of_leaves, of_parameters = step.grads()
    for grad in (*of_leaves, *of_parameters):
        assert grad is not None and grad.isfinite().all()


@pytest.mark.parametrize("head, name, options", CASES)
@pytest.mark.parametrize("kind", [*DEGENERATE, "crowd"])
def test_any_image_trains(head, name, options, kind):
    objects = CROWD if kind == "crowd" else DEGENERATE[kind]
    data = scene(head, objects, [[1] * len(image) for image in objects], spread=1e4)
    check_finite(Step(head, data, build(head, name, options)))


@pytest.mark.parametrize("head, name, options", CASES)
def test_more_candidates_than_samples(head, name, options):
    data = scene(head, [[[1.0, 1, 6, 7]], [[0, 0, 3, 3], [2, 2, 8, 8]]], [[0], [1, 1]], size=(8, 8))
    check_finite(Step(head, data, build(head, name, options)))


@pytest.mark.parametrize("head, name, options", CASES)
def test_everything_that_is_predicted_is_trained(head, name, options):
    step = Step(head, scene(head), build(head, name, options))
    of_leaves, of_parameters = step.grads()
    assert all((grad != 0).any() for grad in (*of_leaves, *of_parameters))


@pytest.mark.parametrize("head, name, options", CASES)
def test_a_batch_is_the_sum_of_its_images(head, name, options):
    """Its losses before they are divided, and the denominators."""
    both, data = Local(), scene(head)
    losses = Step(head, data, build(head, name, options, normalizer=both)).losses()
    total, locals_ = dict.fromkeys(losses, 0.0), 0.0
    for index in range(2):
        one = Local()
        step = Step(head, data.image(index), build(head, name, options, normalizer=one))
        total = {key: total[key] + loss.detach() for key, loss in step.losses().items()}
        locals_ = locals_ + torch.stack([local.float() for local in one.locals])
    torch.testing.assert_close({k: v.detach() for k, v in losses.items()}, total)
    torch.testing.assert_close(torch.stack([x.float() for x in both.locals]), locals_)


@pytest.mark.parametrize("head, name, options", CASES)
def test_padding_changes_nothing(head, name, options):
    criterion = build(head, name, options)
    one, other = (Step(head, scene(head, slots=slots), criterion) for slots in (None, 7))
    padding = ~other.data.gt.valid
    other.data.gt.boxes[padding] = torch.tensor([10.0, 12, 90, 80])
    assert_alike(one, other)


UNORDERED = [case for case in CASES if "last" not in case.values[2]]


@pytest.mark.parametrize("head, name, options", UNORDERED)
def test_order_of_ground_truths_does_not_matter(head, name, options):
    check_order(head, scene(head), build(head, name, options))


@pytest.mark.parametrize(
    "head, name, options",
    # MaxIoU gives anchors to objects that have no good one in their order.
    [case for case in UNORDERED if case.values[1] != "GuidedAnchoring"],
)
def test_order_of_a_crowd_does_not_matter(head, name, options):
    data = scene(head, CROWD, [CROWD_LABELS] * 2)
    check_order(head, data, build(head, name, options))


def check_order(head, data, criterion):
    order = torch.randperm(data.gt.labels.shape[1])
    boxes, rows, valid = data.gt.boxes[:, order], data.gt.labels[:, order], data.gt.valid[:, order]
    shuffled = replace(data, gt=replace(data.gt, boxes=boxes, labels=rows, valid=valid))
    assert_alike(Step(head, data, criterion), Step(head, shuffled, criterion))


@pytest.mark.parametrize("head, name, options", CASES)
def test_pieces_give_the_same_result(head, name, options):
    whole, pieces = (
        Step(head, scene(head), build(head, name, options, max_pairs))
        for max_pairs in (1 << 18, 500)
    )
    assert_alike(whole, pieces)


def assert_alike(one, other):
    torch.testing.assert_close(*(dict(step.losses()) for step in (one, other)))
    for grads in zip(one.grads(), other.grads(), strict=True):
        torch.testing.assert_close(*grads)


@pytest.mark.parametrize("head, name, options", CASES)
def test_never_waits_for_the_device(head, name, options):
    step = Step(head, scene(head, slots=4), build(head, name, options))
    step.criterion.observers.append(lambda *arguments: None)
    assert waits(step.grads) == []


@pytest.mark.parametrize("head, name, options", CASES)
def test_runs_without_values(head, name, options):
    data = scene(head, slots=4).to("meta")
    step = Step(head, data, build(head, name, options).to("meta"))
    step.criterion.observers.append(lambda *arguments: None)
    of_leaves, of_parameters = step.grads()
    assert all(grad.device.type == "meta" for grad in (*of_leaves, *of_parameters))


@pytest.mark.parametrize("head, name, options", CASES)
def test_half_precision_predictions(head, name, options):
    criterion, data = build(head, name, options), scene(head)
    step = Step(head, data, criterion)
    half = map_tensors(replace(step.predictions, quality=None), torch.Tensor.bfloat16)
    features = [x.bfloat16() for x in step.features]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = criterion(data.priors, half, data.gt, features)
    assert all(loss.dtype == torch.float32 for loss in losses.values())
    features = [x.float() for x in features]
    torch.testing.assert_close(losses, criterion(data.priors, half.float(), data.gt, features))


@pytest.mark.parametrize("head, name, options", CASES)
def test_what_is_shown(head, name, options):
    """An assignment like any other, of every object; who looks at it changes nothing."""
    data, seen = scene(head, slots=6), []
    step = Step(head, data, build(head, name, options))
    expected = step.losses()
    step.criterion.observers.append(lambda *arguments: seen.append(arguments[-1]))
    torch.testing.assert_close(step.losses(), expected)
    (shown,) = seen
    again = step.criterion.assign(data.priors, step.predictions, data.gt)
    if name != "SAPD" or options:  # which sees no features there
        for field in fields(Assignment):
            one, other = getattr(shown, field.name), getattr(again, field.name)
            assert torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other
    for assignment in (shown, again):
        assert not assignment.weight.requires_grad
        assert not assignment.positive[~data.gt.valid.gather(1, assignment.gt)].any()
        found = [set(row.tolist()) - {-1, -2} for row in assignment.dense_gt()]
        assert found == [set(range(len(labels))) for labels in LABELS]


@pytest.mark.parametrize("head, name, options", CASES)
def test_ignored_samples_are_no_negatives(head, name, options):
    """Where a region is the whole image, only positives are trained."""
    data = scene(head)
    region = torch.tensor([[[-1000.0, -1000, 1000, 1000]]]).expand(2, -1, -1)
    step = Step(head, replace(data, gt=replace(data.gt, ignore_boxes=region)),
                build(head, name, options))  # fmt: skip
    seen = []
    step.criterion.observers.append(lambda *arguments: seen.append(arguments[-1].dense_gt()))
    (logits, *_), _ = step.grads()
    assert (seen[0] == -2).any() and not (seen[0] == -1).any()
    assert (logits[seen[0] == -2] <= 0).all()
