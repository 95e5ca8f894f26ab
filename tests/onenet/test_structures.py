from dataclasses import replace

import pytest
import torch
from detectron2.modeling import build_model
from detectron2.structures import Boxes, Instances
from onenet import Assignment, GroundTruth, Predictions


def instances(boxes, classes, size=(60, 80)):
    return Instances(
        size, gt_boxes=Boxes(torch.tensor(boxes).reshape(-1, 4)),
        gt_classes=torch.tensor(classes, dtype=torch.int64),
    )  # fmt: skip


def test_ground_truth_is_padded_to_the_longest_image():
    gt = GroundTruth.from_instances(
        [
            instances([[1.0, 2, 3, 4]], [7]),
            instances([[5.0, 6, 7, 8], [9.0, 10, 11, 12]], [3, 0], size=(40, 50)),
            instances([], []),
        ]
    )
    assert gt.boxes.dtype == torch.float32
    assert gt.boxes.tolist() == [
        [[1, 2, 3, 4], [0, 0, 0, 0]],
        [[5, 6, 7, 8], [9, 10, 11, 12]],
        [[0, 0, 0, 0], [0, 0, 0, 0]],
    ]
    assert gt.labels.tolist() == [[7, 0], [3, 0], [0, 0]]
    assert gt.valid.tolist() == [[True, False], [True, True], [False, False]]
    assert gt.image_size.tolist() == [[60, 80], [40, 50], [60, 80]]


@pytest.mark.parametrize("images", [1, 2])
def test_a_batch_without_objects_has_one_unused_slot(images):
    gt = GroundTruth.from_instances([instances([], [])] * images)
    assert gt.boxes.shape == (images, 1, 4)
    assert gt.labels.shape == gt.valid.shape == (images, 1)
    assert not gt.valid.any()


def test_scale_is_the_unpadded_width_and_height():
    gt = GroundTruth.from_instances([instances([], [], (60, 80)), instances([], [], (40, 50))])
    assert gt.scale.tolist() == [[[80, 60, 80, 60]], [[50, 40, 50, 40]]]


def test_predictions_in_float32_outside_of_the_graph():
    half = Predictions(
        torch.rand(1, 2, 3, dtype=torch.bfloat16, requires_grad=True),
        torch.rand(1, 2, 4, requires_grad=True),
        torch.rand(1, 2, dtype=torch.bfloat16, requires_grad=True),
    )
    full = half.float()
    assert full.logits.dtype == full.boxes.dtype == full.quality.dtype == torch.float32
    assert full.logits.requires_grad and full.quality.requires_grad
    cut = full.detach()
    assert not (cut.logits.requires_grad or cut.boxes.requires_grad or cut.quality.requires_grad)
    assert Predictions(half.logits, half.boxes).float().detach().quality is None


def assignment(sample, gt, weight, **kwargs):
    weight = torch.tensor([weight])
    return Assignment(
        torch.tensor([sample]), torch.tensor([gt]), weight, torch.ones_like(weight), **kwargs
    )


def test_dense_gt_of_pairs():
    # Sample 2 serves two ground truths, of which the lower index shows; slot 3 is unused.
    pairs = assignment([2, 4, 2, 0], [3, 0, 1, 2], [1.0, 0.5, 1.0, 0.0], num_samples=5)
    assert pairs.dense_gt().tolist() == [[-1, -1, 1, -1, 0]]
    assert pairs.positive.tolist() == [[True, True, True, False]]


def test_dense_gt_marks_ignored_samples_unless_they_are_positive():
    ignored = torch.tensor([[[0.0], [1.0], [0.0]]])
    pairs = assignment([2], [0], [1.0], cls_weight=ignored)
    assert pairs.dense_gt().tolist() == [[-2, -1, 0]]
    by_class = torch.tensor([[[0.0, 0.5], [0.0, 0.0], [1.0, 1.0]]])
    pairs = assignment([0], [0], [0.0], cls_weight=by_class)
    assert pairs.dense_gt().tolist() == [[-1, -2, -1]]


def test_dense_gt_of_a_dense_rule_needs_no_sample_count():
    pairs = assignment([0, 1, 2], [0, 1, 0], [1.0, 0.0, 1.0])
    assert pairs.dense_gt().tolist() == [[0, -1, 0]]


def test_dense_gt_does_not_synchronise(to_device):
    pairs = to_device(
        assignment([0, 1], [0, 1], [1.0, 0.0], cls_weight=torch.ones(1, 4, 1)), "meta"
    )
    assert pairs.dense_gt().shape == (1, 4)


def test_kept_samples():
    """The others are neither positive nor negative."""
    assignment = Assignment(
        sample=torch.tensor([[0, 2, 2, 3]]),
        gt=torch.tensor([[0, 1, 0, 1]]),
        weight=torch.tensor([[1.0, 1, 0.5, 0]]),
        score=torch.ones(1, 4),
        num_samples=5,
    )
    assert assignment.positive_samples().tolist() == [[True, False, True, False, False]]
    kept = assignment.keep(torch.tensor([[False, True, True, True, False]]))
    assert kept.weight.tolist() == [[0, 1, 0.5, 0]]
    assert kept.dense_gt().tolist() == [[-2, -1, 0, -1, -2]]
    weighted = replace(assignment, cls_weight=torch.full((1, 5, 3), 0.5))
    weighted = weighted.keep(torch.tensor([[False, True, True, True, False]]))
    assert weighted.cls_weight[0, :, 2].tolist() == [0, 0.5, 0.5, 0.5, 0]


def test_priors_of_every_head_know_their_grid(tiny_cfg, make_inputs):
    for head, anchors in (("CenterNet", 1), ("FCOS", 1), ("RetinaNet", 6)):
        model = build_model(tiny_cfg(head)).eval()
        _, priors = model.predict(model.preprocess_image(make_inputs()).tensor)
        assert priors.anchors == anchors
        for level, (height, width) in enumerate(priors.shapes):
            x, y = priors.points[priors.level == level].view(height, width, anchors, 2).unbind(-1)
            assert (y.diff(dim=1) == 0).all() and (x.diff(dim=0) == 0).all()
