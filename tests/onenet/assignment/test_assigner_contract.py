"""What every registered assigner has to keep, also one that is added tomorrow."""

from dataclasses import fields, replace

import pytest
import torch
from onenet import Assignment, Predictions
from onenet.criterion import CenternessLoss, Criterion, FocalLoss, L1GIoULoss

from ...waits import waits
from .assigner_cases import CASES, LABELS, OBJECTS, build, is_hungarian, map_tensors, scene

pytestmark = pytest.mark.numeric


def run(assigner, scene) -> Assignment:
    return assigner(scene.priors, scene.predictions, scene.gt)


def class_weight(assignment, scene):
    if assignment.cls_weight is None:
        return torch.ones_like(scene.predictions.logits)
    return assignment.cls_weight.expand_as(scene.predictions.logits)


def assert_same(one, other, scene):
    """Two assignments train a detector alike."""
    assert torch.equal(one.dense_gt(), other.dense_gt())
    torch.testing.assert_close(class_target(one), class_target(other))
    torch.testing.assert_close(class_weight(one, scene), class_weight(other, scene))


def class_target(assignment):
    """(B, R), the largest score of the pairs of each sample."""
    target = torch.zeros(assignment.dense_gt().shape)
    score = assignment.score * assignment.positive
    return target.scatter_reduce(1, assignment.sample, score, "amax")


def normalizer(assignment, gt):
    return gt.valid.sum() if assignment.normalizer is None else assignment.normalizer


@pytest.mark.parametrize("head, name, options", CASES)
def test_shapes_types_and_ranges(head, name, options):
    data = scene(head)
    result = run(build(head, name, options), data)
    batch, num_samples, num_classes = data.predictions.logits.shape
    slots = result.sample.shape
    assert len(slots) == 2 and slots[0] == batch
    assert result.gt.shape == result.weight.shape == result.score.shape == slots
    assert result.sample.dtype == result.gt.dtype == torch.int64
    assert result.weight.dtype == result.score.dtype == torch.float32
    assert result.sample.min() >= 0 and result.sample.max() < num_samples
    assert result.gt.min() >= 0 and result.gt.max() < data.gt.valid.shape[1]
    assert result.weight.min() >= 0 and result.weight.isfinite().all()
    assert result.score.min() >= 0 and result.score.max() <= 1
    if result.cls_weight is not None:
        assert result.cls_weight.dtype == torch.float32
        assert result.cls_weight.shape[:2] == (batch, num_samples)
        assert result.cls_weight.shape[2] in (1, num_classes)
        assert result.cls_weight.min() >= 0
    if result.normalizer is not None:
        assert result.normalizer.shape == ()
    assert result.dense_gt().shape == (batch, num_samples)
    assert (result.weight > 0).any()


@pytest.mark.parametrize("head, name, options", CASES)
def test_padding_is_never_assigned(head, name, options):
    data = scene(head, slots=6)
    result = run(build(head, name, options), data)
    used = data.gt.valid.gather(1, result.gt)
    assert (result.weight[~used] == 0).all()


@pytest.mark.parametrize("head, name, options", CASES)
def test_padding_changes_nothing(head, name, options):
    assigner = build(head, name, options)
    data, padded = scene(head), scene(head, slots=7)
    # Nothing says that padding is zero.
    padded.gt.boxes[~padded.gt.valid] = torch.tensor([10.0, 12, 90, 80])
    one, other = run(assigner, data), run(assigner, padded)
    assert_same(one, other, data)
    assert normalizer(one, data.gt) == normalizer(other, padded.gt)


@pytest.mark.parametrize("head, name, options", CASES)
def test_an_empty_image_changes_nothing(head, name, options):
    assigner = build(head, name, options)
    data, more = scene(head), scene(head, objects=[*OBJECTS, []], labels=[*LABELS, []])
    one, other = run(assigner, data), run(assigner, more)
    assert torch.equal(one.dense_gt(), other.dense_gt()[:2])
    assert (other.dense_gt()[2] == -1).all()
    assert (class_weight(other, more)[2] == 1).all()
    assert normalizer(one, data.gt) == normalizer(other, more.gt)


@pytest.mark.parametrize("head, name, options", CASES)
def test_a_batch_is_its_images(head, name, options):
    assigner, data = build(head, name, options), scene(head)
    both = run(assigner, data)
    total = 0
    for index in range(2):
        image = scene(head).image(index)
        one = run(assigner, image)
        assert torch.equal(one.dense_gt()[0], both.dense_gt()[index])
        torch.testing.assert_close(class_weight(one, image)[0], class_weight(both, data)[index])
        total += normalizer(one, image.gt)
    torch.testing.assert_close(total, normalizer(both, data.gt))


@pytest.mark.parametrize("head, name, options", CASES)
def test_order_of_ground_truths_does_not_matter(head, name, options):
    assigner, data = build(head, name, options), scene(head)
    order = torch.tensor([2, 0, 1])
    shuffled = replace(
        data.gt,
        boxes=data.gt.boxes[:, order],
        labels=data.gt.labels[:, order],
        valid=data.gt.valid[:, order],
    )
    one, other = run(assigner, data), run(assigner, replace(data, gt=shuffled))
    dense = other.dense_gt()
    assert torch.equal(one.dense_gt(), torch.where(dense >= 0, order[dense.clamp(min=0)], dense))
    torch.testing.assert_close(class_weight(one, data), class_weight(other, data))


@pytest.mark.parametrize("head, name, options", CASES)
def test_deterministic_and_pure(head, name, options):
    assigner, data = build(head, name, options), scene(head)
    first = run(assigner, data)
    assert_same(first, run(assigner, data), data)
    assert_same(first, run(assigner, scene(head)), data)  # nothing was written to the inputs


@pytest.mark.parametrize("head, name, options", CASES)
def test_pieces_give_the_same_result(head, name, options):
    data = scene(head)
    whole = run(build(head, name, options), data)
    pieces = run(build(head, name, options, max_pairs=500), data)
    assert_same(whole, pieces, data)


@pytest.mark.parametrize(
    "head, name, options", [case for case in CASES if not is_hungarian(*case.values[1:])]
)
def test_never_waits_for_the_device(head, name, options):
    assigner, data = build(head, name, options), scene(head, slots=4)
    expected = run(assigner, data)
    result = run(assigner.to("meta"), data.to("meta"))
    assert result.sample.device.type == "meta"
    for field in fields(Assignment):
        one, other = getattr(expected, field.name), getattr(result, field.name)
        assert getattr(one, "shape", one) == getattr(other, "shape", other), field.name


@pytest.mark.parametrize("head, name, options", CASES)
def test_reads_nothing_back(head, name, options):
    assigner, data = build(head, name, options, max_pairs=20_000), scene(head)  # in pieces
    allowed = ["cpu"] if is_hungarian(name, options) else []
    assert waits(lambda: run(assigner, data)) == allowed


@pytest.mark.parametrize("head, name, options", CASES)
def test_half_precision_predictions(head, name, options):
    data = scene(head)
    half = map_tensors(data.predictions, lambda x: x.bfloat16())
    rounded = map_tensors(half, lambda x: x.float())
    assigner = build(head, name, options)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = run(assigner, replace(data, predictions=half))
    assert result.weight.dtype == result.score.dtype == torch.float32
    assert_same(result, run(assigner, replace(data, predictions=rounded)), data)


DEGENERATE = {
    "no object": [[], []],
    "one empty image": [OBJECTS[0], []],
    "no area": [[[40.0, 40, 40, 40], [60, 60, 90, 60]], [[10, 10, 10, 50]]],
    "outside": [[[-90.0, -80, -20, -10]], [[300, 300, 350, 360]]],
    "identical": [[[30.0, 40, 90, 80]] * 3, [[20, 20, 41, 37]] * 2],
    "whole image": [[[0.0, 0, 256, 192]], [[0, 0, 256, 192], [1, 1, 255, 191]]],
}


@pytest.mark.parametrize("head, name, options", CASES)
@pytest.mark.parametrize("kind", DEGENERATE)
def test_degenerate_images_train(head, name, options, kind):
    objects = DEGENERATE[kind]
    data = scene(head, objects, [[1] * len(image) for image in objects], spread=1e4)
    check_losses(build(head, name, options), data)


@pytest.mark.parametrize("head, name, options", CASES)
def test_more_candidates_than_samples(head, name, options):
    data = scene(head, [[[1.0, 1, 6, 7]], [[0, 0, 3, 3], [2, 2, 8, 8]]], [[0], [1, 1]], size=(8, 8))
    check_losses(build(head, name, options), data)


def check_losses(assigner, data):
    """Losses and gradients are finite, with a quality branch too."""
    batch, num_samples, _ = data.predictions.logits.shape
    tensors = data.predictions.logits, data.predictions.boxes, torch.zeros(batch, num_samples)
    predictions = Predictions(*(x.clone().requires_grad_() for x in tensors))
    criterion = Criterion(assigner=assigner, losses=[FocalLoss(), L1GIoULoss(), CenternessLoss()])
    result = criterion.assign(data.priors, predictions, data.gt)
    losses = criterion.weigh(data.priors, predictions, data.gt, result)
    sum(losses.values()).backward()
    assert all(loss.isfinite() for loss in losses.values()), losses
    for tensor in (predictions.logits, predictions.boxes, predictions.quality):
        assert tensor.grad.isfinite().all()
