import pytest
import torch
from assigners.learned.pairwise_giou import pairwise_iou_giou
from onenet.geometry import elementwise_iou_giou


def random_boxes(number, whole):
    """(2, number, 4); whole numbers often touch, have no area or are the same."""
    center, half = 40 * torch.rand(2, number, 2), 15 * torch.rand(2, number, 2)
    boxes = torch.cat([center - half, center + half], dim=-1)
    return (boxes / 8).round() if whole else boxes


@pytest.mark.parametrize("whole", [False, True])
def test_values_and_derivatives_are_those_of_autograd(whole):
    others = random_boxes(7, whole)
    boxes = torch.cat([others, random_boxes(50, whole)], dim=1).requires_grad_()
    iou, giou = pairwise_iou_giou(boxes, others)
    expected = elementwise_iou_giou(boxes[:, None], others[:, :, None])
    torch.testing.assert_close((iou, giou), expected)
    assert not iou.requires_grad
    by_giou = torch.randn_like(giou)
    grads = (torch.autograd.grad(x, boxes, by_giou)[0] for x in (giou, expected[1]))
    torch.testing.assert_close(*grads)
