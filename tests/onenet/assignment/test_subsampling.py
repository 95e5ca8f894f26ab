import pytest
import torch
from detectron2.modeling import build_model
from detectron2.structures import Boxes, Instances
from onenet import Assignment, GroundTruth, Predictions
from onenet.assignment.subsampling import IgnoreRegions, inside_regions

REGION = [0.0, 0, 20, 20]
BOXES = torch.tensor(
    [
        [
            [2.0, 2, 8, 8],  # all of it in the region
            [10, 0, 30, 20],  # half of it
            [9, 0, 29, 20],  # 11 of 20 columns
            [0, 0, 100, 100],  # covers the region, and much else
            [40, 40, 50, 50],  # elsewhere
            [5, 5, 5, 9],  # no area
        ]
    ]
)
IN_REGION = [True, False, True, False, False, False]


def regions(*boxes):
    return torch.tensor([boxes], dtype=torch.float32)


def one_positive(sample, weight=1.0, **fields):
    weight = torch.tensor([[weight]])
    index = torch.tensor([[sample]])
    return Assignment(
        index, torch.zeros_like(index), weight, torch.ones_like(weight), num_samples=6, **fields
    )


def ignore(assignment, boxes, ignore_boxes):
    """What the subsampler makes of an assignment with these predicted boxes and regions."""
    nothing = torch.zeros(1, 1, 4)
    gt = GroundTruth(nothing, nothing[..., 0].long(), nothing[..., 0] > 0, nothing, ignore_boxes)
    return IgnoreRegions()(assignment, None, Predictions(None, boxes), gt)


def test_without_regions_nothing_changes():
    assignment = one_positive(0)
    assert ignore(assignment, BOXES, None) is assignment


def test_more_than_half_of_the_own_area_is_inside():
    assert inside_regions(BOXES, regions(REGION)).tolist() == [IN_REGION]


def test_regions_count_one_by_one_and_padding_is_none():
    halves = [[0.0, 0, 10, 20], [10, 0, 20, 20], [0, 0, 0, 0]]
    # The third box lies in the two halves together (1 + 10 of 20 columns), in neither enough.
    assert inside_regions(BOXES, regions(*halves)).tolist() == [[True] + [False] * 5]


def test_pieces_change_nothing():
    generator = torch.Generator().manual_seed(0)
    low, boxes = torch.rand(2, 3, 50, 4, generator=generator)
    boxes = torch.cat([low[..., :2], low[..., :2] + boxes[..., 2:]], dim=-1)
    expected = inside_regions(boxes, boxes[:, :7])
    assert expected.any() and not expected.all()
    assert inside_regions(boxes, boxes[:, :7], max_pairs=50).equal(expected)
    assert inside_regions(boxes, boxes[:, :7], max_pairs=1).equal(expected)


@pytest.mark.parametrize(
    ("weight", "expected"), [(1.0, [0, -1, -2, -1, -1, -1]), (0.0, [-2, -1, -2, -1, -1, -1])]
)
def test_positive_samples_stay_and_unused_slots_protect_nobody(weight, expected):
    assigned = ignore(one_positive(0, weight), BOXES, regions(REGION))
    assert assigned.dense_gt().tolist() == [expected]


@pytest.mark.parametrize("classes", [1, 3])
def test_weights_of_the_rule_are_kept_elsewhere(classes):
    before = torch.rand(1, 6, classes)
    after = ignore(one_positive(0, cls_weight=before), BOXES, regions(REGION)).cls_weight
    kept = torch.tensor([True, True, False, True, True, True])
    assert after[:, kept].equal(before[:, kept])
    assert (after[:, ~kept] == 0).all()


def test_does_not_synchronise(to_device):
    assigned = ignore(
        to_device(one_positive(0), "meta"), BOXES.to("meta"), regions(REGION).to("meta")
    )
    assert assigned.cls_weight.shape == (1, 6, 1)


def test_ground_truth_pads_regions_and_has_none_where_there_are_none():
    instances = [
        Instances((8, 8), gt_boxes=Boxes(torch.zeros(0, 4)), gt_classes=torch.zeros(0).long())
        for _ in range(3)
    ]
    none, some = torch.zeros(0, 4), torch.arange(8.0).reshape(2, 4)
    padded = GroundTruth.from_instances(instances, [none, some, some[:1]]).ignore_boxes
    assert padded.tolist() == [
        [[0, 0, 0, 0], [0, 0, 0, 0]],
        [[0, 1, 2, 3], [4, 5, 6, 7]],
        [[0, 1, 2, 3], [0, 0, 0, 0]],
    ]
    assert GroundTruth.from_instances(instances, [none] * 3).ignore_boxes is None
    assert GroundTruth.from_instances(instances).ignore_boxes is None


@pytest.mark.parametrize("head", ["CenterNet", "FCOS", "RetinaNet"])
def test_a_region_over_the_whole_image_leaves_the_positives_alone(tiny_cfg, make_inputs, head):
    """Only the class loss of positive samples is left; box losses are what they were."""
    model = build_model(tiny_cfg(head))
    inputs = make_inputs(objects=(2, 0))
    before = model(inputs)
    inputs[0]["ignore_boxes"] = torch.tensor([[-500.0, -500, 600, 600]])
    after = model(inputs)
    inputs[1]["ignore_boxes"] = torch.tensor([[-500.0, -500, 600, 600]])
    everywhere = model(inputs)
    assert before["loss_ce"] > after["loss_ce"] > everywhere["loss_ce"] > 0
    for name in ("loss_giou", "loss_bbox"):
        assert after[name] == before[name]
    sum(everywhere.values()).backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
