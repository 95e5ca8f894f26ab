import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onenet import geometry
from torchvision.ops import box_iou, complete_box_iou, generalized_box_iou

pytestmark = pytest.mark.numeric

coordinate = st.floats(-200, 200, width=32)
extent = st.floats(0.125, 200, width=32)


@st.composite
def box_lists(draw):
    rows = draw(st.lists(st.tuples(coordinate, coordinate, extent, extent), min_size=1, max_size=8))
    low, size = torch.tensor(rows).split(2, dim=1)
    return torch.cat([low, low + size], dim=1)


@settings(deadline=None, max_examples=50)
@given(box_lists(), box_lists())
def test_overlaps_agree_with_torchvision(boxes, others):
    iou, giou = geometry.elementwise_iou_giou(boxes[:, None], others[None])
    torch.testing.assert_close(iou, box_iou(boxes, others), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(giou, generalized_box_iou(boxes, others), rtol=1e-4, atol=1e-4)
    assert torch.equal(geometry.elementwise_iou(boxes[:, None], others[None]), iou)
    ciou = geometry.elementwise_ciou(boxes[:, None], others[None])
    torch.testing.assert_close(ciou, complete_box_iou(boxes, others), rtol=1e-4, atol=1e-4)


def test_boxes_without_area():
    point = torch.tensor([5.0, 5, 5, 5], requires_grad=True)
    box = torch.tensor([0.0, 0, 10, 10])
    iou, giou = geometry.elementwise_iou_giou(point, point.detach())
    assert (iou.item(), giou.item()) == (0, 0)
    iou, giou = geometry.elementwise_iou_giou(point, box)
    assert (iou.item(), giou.item()) == (0, 0)  # the hull is the box, which the union fills
    giou.backward()
    assert point.grad.isfinite().all()
    assert geometry.elementwise_iou(point, box) == 0
    point.grad = None
    geometry.elementwise_ciou(point, point.detach()).backward()
    assert point.grad.isfinite().all()


def test_area_of_an_inverted_box_is_zero():
    boxes = torch.tensor([[0.0, 0, 2, 3], [2.0, 0, 0, 3], [1.0, 1, 1, 5]])
    assert geometry.box_area(boxes).tolist() == [6, 0, 0]


def test_centers():
    assert geometry.box_centers(torch.tensor([[0.0, 2, 4, 12]])).tolist() == [[2, 7]]


@settings(deadline=None, max_examples=30)
@given(st.tuples(coordinate, coordinate), box_lists())
def test_decoding_inverts_encoding(point, boxes):
    point = torch.tensor(point)
    decoded = geometry.decode_ltrb(point, geometry.encode_ltrb(point, boxes))
    torch.testing.assert_close(decoded, boxes, rtol=1e-5, atol=1e-4)


def test_distances_are_negative_outside():
    distances = geometry.encode_ltrb(torch.tensor([3.0, 20.0]), torch.tensor([0.0, 0, 10, 10]))
    assert distances.tolist() == [3, 20, 7, -10]


def test_places_of_points_in_boxes():
    points = torch.tensor([[3.0, 8.0], [3.0, 20.0]])
    boxes = torch.tensor([[[0.0, 0, 10, 10], [2, 4, 4, 40]]])
    assert geometry.depth_inside(points, boxes).tolist() == [[[2, -10], [1, 1]]]
    assert geometry.distance_to_centers(points, boxes).tolist() == [[[3, 15], [14, 2]]]


@pytest.mark.parametrize("stride", [4, 7])
def test_grid_points_run_row_by_row(stride):
    expected = [
        [x * stride + stride // 2, y * stride + stride // 2] for y in range(2) for x in range(3)
    ]
    assert geometry.grid_points(2, 3, stride, torch.device("cpu")).tolist() == expected


def test_square_boxes():
    boxes = geometry.square_boxes(torch.tensor([[10.0, 20], [0, 0]]), torch.tensor([4.0, 6]))
    assert boxes.tolist() == [[8, 18, 12, 22], [-3, -3, 3, 3]]


def test_gathering_of_samples():
    values = torch.arange(12.0).reshape(2, 3, 2)
    index = torch.tensor([[2, 0], [1, 1]])
    assert geometry.gather_samples(values, index).tolist() == [[[4, 5], [0, 1]], [[8, 9], [8, 9]]]
    assert geometry.gather_samples(values[..., 0], index).tolist() == [[4, 0], [8, 8]]
