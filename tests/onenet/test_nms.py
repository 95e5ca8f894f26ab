"""Candidates and suppression, against loops that follow the paper's words."""

import pytest
import torch
from onenet import Predictions
from onenet.nms import kept_by_nms, level_candidates

LEVELS = (40, 15, 5)


def slow_candidates(scores, level_sizes, k):
    """(score, sample, class) of the k best pairs of every level of an image; scores (R, K)."""
    found, start = [], 0
    for size in level_sizes:
        pairs = [
            (score, start + sample, label)
            for sample, row in enumerate(scores[start : start + size].tolist())
            for label, score in enumerate(row)
        ]
        found += sorted(pairs, reverse=True)[:k]
        start += size
    return found


def slow_nms(boxes, scores, classes, iou_threshold):
    kept = []
    for i in sorted(range(len(scores)), key=lambda i: -scores[i]):
        rivals = [j for j in kept if classes[j] == classes[i]]
        if all(overlap(boxes[i], boxes[j]) <= iou_threshold for j in rivals):
            kept.append(i)
    return kept


def overlap(a, b):
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    areas = [(x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in (a, b)]
    return width * height / (sum(areas) - width * height)


@pytest.mark.parametrize("quality", [False, True])
def test_candidates_are_the_best_of_each_level(make_problem, quality):
    predictions = make_problem(samples=60, classes=4, quality=quality).predictions
    boxes, scores, classes = level_candidates(predictions, LEVELS, 30)
    assert scores.shape == (3, 30 + 30 + 20)  # the last level has 5 samples of 4 classes
    joint = predictions.logits.sigmoid()
    if quality:
        joint = joint * predictions.quality.sigmoid()[..., None]
    for image in range(3):
        expected = slow_candidates(joint[image], LEVELS, 30)
        wanted = [score for score, _, _ in expected]
        assert scores[image].tolist() == pytest.approx(wanted, rel=1e-6)  # a sigmoid's last bit
        assert classes[image].tolist() == [label for _, _, label in expected]
        assert boxes[image].equal(predictions.boxes[image, [sample for _, sample, _ in expected]])


def test_a_weak_level_keeps_its_candidates():
    """Among all pairs the first level would take every place."""
    logits = torch.tensor([[[4.0], [3.0], [2.0], [-5.0]]])
    boxes = torch.arange(16.0).reshape(1, 4, 4)
    found, scores, _ = level_candidates(Predictions(logits, boxes), (3, 1), 2)
    assert found[0].equal(boxes[0, [0, 1, 3]])
    assert scores.equal(logits[:, [0, 1, 3], 0].sigmoid())


def test_candidates_do_not_synchronise(make_problem):
    predictions = make_problem(samples=60, quality=True).to("meta").predictions
    shapes = [tuple(x.shape) for x in level_candidates(predictions, LEVELS, 8)]
    assert shapes == [(3, 24, 4), (3, 24), (3, 24)]


@pytest.mark.parametrize("count", [80, 1200])  # torchvision changes its way in between
def test_suppression_is_greedy_and_by_class(count):
    generator = torch.Generator().manual_seed(0)
    corner = 40 * torch.rand(count, 2, generator=generator)
    boxes = torch.cat((corner, corner + 10 + 20 * torch.rand(count, 2, generator=generator)), 1)
    scores = torch.rand(count, generator=generator)
    classes = torch.randint(3, (count,), generator=generator)
    kept = kept_by_nms(boxes, scores, classes, 0.6).tolist()
    assert kept == slow_nms(boxes.tolist(), scores.tolist(), classes.tolist(), 0.6)
    one_class = kept_by_nms(boxes, scores, torch.zeros_like(classes), 0.6)
    assert 0 < len(one_class) < len(kept) < count


def test_nothing_to_suppress():
    none = torch.zeros(0)
    assert kept_by_nms(none.reshape(0, 4), none, none.long(), 0.6).shape == (0,)
