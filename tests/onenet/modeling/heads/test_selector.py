import pytest
import torch
from onenet import Predictions
from onenet.modeling.heads.rivals import score_margins
from onenet.modeling.heads.selector import Selector
from torchvision.ops import box_iou

OVERLAPS = (0.3, 0.6)


def slow_margins(scores, labels, boxes, overlap):
    best = scores.argmax(dim=-1, keepdim=True)
    margins = torch.zeros_like(scores)
    for b, y, x, a in torch.cartesian_prod(*map(torch.arange, scores.shape)).tolist():
        highest = scores[b, y, x, a]
        for v in range(max(y - 1, 0), min(y + 2, scores.shape[1])):
            for u in range(max(x - 1, 0), min(x + 2, scores.shape[2])):
                rival = b, v, u, best[b, v, u, 0]
                iou = box_iou(boxes[b, y, x, a][None], boxes[rival][None])
                if iou > overlap and labels[rival] == labels[b, y, x, a]:
                    highest = max(highest, scores[rival])
        margins[b, y, x, a] = scores[b, y, x, a] - highest
    return margins


@pytest.mark.parametrize("anchors", [1, 2])
def test_margins_to_rivals(anchors):
    torch.manual_seed(0)
    grid = 2, 5, 4, anchors
    corners = torch.rand(*grid, 2) * 3
    boxes = torch.cat([corners, corners + 4 + 2 * torch.rand(*grid, 2)], dim=-1)
    scores, labels = torch.randn(grid), torch.randint(2, grid)
    maps = scores.movedim(3, 1), labels.movedim(3, 1), boxes.permute(4, 0, 3, 1, 2)
    actual = score_margins(*maps, OVERLAPS).movedim(1, 3)
    expected = [slow_margins(scores, labels, boxes, overlap) for overlap in OVERLAPS]
    torch.testing.assert_close(actual, torch.cat(expected, dim=3))
    assert all(0 < (x < 0).float().mean() < 1 for x in expected)


def test_one_of_several_equal_predictions_can_be_told_from_the_others():
    # What the rest of the head says is the same everywhere but for one class score.
    torch.manual_seed(0)
    selector = Selector(channels=4)
    logits = torch.zeros(1, 9, 2)
    logits[0, 4, 0] = 0.1
    predictions = Predictions(logits, torch.tensor([0.0, 0, 8, 8]).expand(1, 9, 4))
    with torch.no_grad():
        selector.output.weight.zero_()
        selector.shortcut.weight.zero_()
        selector.shortcut.weight[0, -3:, 1, 1] = 5  # whether it is the best of its rivals
        selection = selector([torch.zeros(1, 4, 3, 3)], predictions)
    assert selection[0].tolist() == [0, 0, 0, 0, 15, 0, 0, 0, 0]
