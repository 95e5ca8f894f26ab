import itertools

import pytest
import torch
import torch.nn.functional as F
from onenet.inference import top_detections
from onenet.modeling.heads.corner_grouping import NO_SCORE, group_corners
from onenet.structures import CornerPredictions

HEIGHT, WIDTH, CLASSES = 9, 11, 3


def corners(images=2):
    cells = 2 * HEIGHT * WIDTH
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(images, cells, *shape, generator=generator)

    place = torch.cartesian_prod(torch.arange(HEIGHT), torch.arange(WIDTH)).flip(1).repeat(2, 1)
    offset = draw(2).sigmoid()
    center = (place + offset) * 4
    boxes = torch.cat([center - 2, center + 2], dim=-1)
    return CornerPredictions(2 * draw(CLASSES), boxes, offset=offset, embedding=draw())


def by_loops(found, image, topk, distance):
    """Detections (score, class, box) of one image, the best first."""
    best = []
    for half in found.logits[image].chunk(2):
        heat = half.T.reshape(CLASSES, HEIGHT, WIDTH)
        peaks = []
        for label, y, x in itertools.product(*map(range, heat.shape)):
            around = heat[label, max(0, y - 1) : y + 2, max(0, x - 1) : x + 2]
            if heat[label, y, x] == around.max():
                peaks.append((heat[label, y, x].sigmoid().item(), label, y * WIDTH + x))
        best.append(sorted(peaks, reverse=True)[:topk])
    pairs = []
    for (score, label, cell), (score2, label2, cell2) in itertools.product(*best):
        one, two = cell, cell2 + HEIGHT * WIDTH
        x, y = ((found.boxes[image, one, :2] + found.boxes[image, one, 2:]) / 2).tolist()
        x2, y2 = ((found.boxes[image, two, :2] + found.boxes[image, two, 2:]) / 2).tolist()
        apart = (found.embedding[image, one] - found.embedding[image, two]).abs()
        if label == label2 and apart <= distance and x2 >= x and y2 >= y:
            pairs.append(((score + score2) / 2, label, (x, y, x2, y2)))
    return sorted(pairs, reverse=True)


@pytest.mark.parametrize("topk, distance", [(5, 0.5), (40, 0.5), (40, 0.1), (60, 10.0)])
def test_pairs_of_corners(topk, distance):
    found = corners()
    pairs = group_corners(found, (HEIGHT, WIDTH), topk, distance)
    boxes, scores, classes = top_detections(pairs, 1000)
    for image in range(2):
        expected = by_loops(found, image, topk, distance)[:1000]
        count = len(expected)
        assert count and (scores[image, count:] == 0).all()
        values, labels, places = zip(*expected, strict=True)
        torch.testing.assert_close(scores[image, :count], torch.tensor(values))
        assert classes[image, :count].tolist() == list(labels)
        torch.testing.assert_close(boxes[image, :count], torch.tensor(places))


def test_neighbours_are_no_corners_of_their_own():
    found = corners(1)
    heat = torch.full((CLASSES, 2, HEIGHT, WIDTH), -9.0)
    heat[1, 0, 2, 2:5] = torch.tensor([1.0, 2, 1])  # the left and right ones stand beside a peak
    heat[1, 1, 6, 8] = 3.0
    logits = heat.flatten(1).T[None]
    pairs = group_corners(
        CornerPredictions(logits, found.boxes, offset=found.offset,
                          embedding=torch.zeros_like(found.embedding)),
        (HEIGHT, WIDTH), 10, 0.5,
    )  # fmt: skip
    score = pairs.logits.sigmoid().amax(dim=-1)[0]
    assert (score > 0.7).sum() == 1
    assert pairs.logits[0, 0].argmax() == 1
    assert score[0] == pytest.approx(F.sigmoid(torch.tensor([2.0, 3.0])).mean().item())


def test_maps_smaller_than_topk_and_certain_scores():
    """As many samples as there are, finite whatever is predicted."""
    boxes = torch.tensor([[[0.0, 0, 4, 4], [4, 4, 8, 8]]])
    logits = torch.tensor([[[200.0, -200], [200, -200]]])
    found = CornerPredictions(logits, boxes, offset=torch.zeros(1, 2, 2),
                              embedding=torch.zeros(1, 2))  # fmt: skip
    pairs = group_corners(found, (1, 1), 100, 0.5)
    assert pairs.logits.shape == (1, 4, 2) and pairs.logits.isfinite().all()
    assert pairs.boxes[0, 0].tolist() == [2, 2, 6, 6]
    assert pairs.logits[0, 0, 0] > 15 and (pairs.logits[0, 1:, 0] == NO_SCORE).all()
