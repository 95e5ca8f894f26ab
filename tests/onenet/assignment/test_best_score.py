import torch
from onenet import GroundTruth, Predictions, Priors
from onenet.assignment import BestScore


def assign(boxes, scores, objects, labels):
    """The sample of each object, None without one; scores are (R, K)."""
    boxes, objects = torch.tensor(boxes).float(), torch.tensor(objects).float()
    priors = Priors(boxes, boxes[:, :2], torch.ones(len(boxes)), torch.zeros(len(boxes)), (4,))
    predictions = Predictions(torch.tensor(scores).logit()[None], boxes[None])
    valid = torch.ones(1, len(labels), dtype=torch.bool)
    size = torch.tensor([[100.0, 100.0]])
    gt = GroundTruth(objects[None], torch.tensor([labels]), valid, size)
    assignment = BestScore()(priors, predictions, gt)
    pairs = zip(assignment.sample[0].tolist(), assignment.positive[0].tolist(), strict=True)
    return [sample if positive else None for sample, positive in pairs]


def test_the_best_score_of_enough_overlap_wins():
    boxes = [[0, 0, 10, 10], [0, 0, 10, 9], [0, 0, 10, 4], [50, 50, 60, 60]]
    scores = [[0.3, 0.9], [0.5, 0.1], [0.8, 0.1], [0.9, 0.1]]
    # The third overlaps by 0.4, the fourth not at all; the first is better for another class.
    assert assign(boxes, scores, [[0, 0, 10, 10]], [0]) == [1]
    assert assign(boxes, scores, [[0, 0, 10, 10]], [1]) == [0]
    assert assign(boxes, scores, [[20, 20, 30, 30]], [0]) == [None]


def test_a_sample_belongs_to_the_object_that_it_overlaps_most():
    boxes = [[0, 0, 10, 10], [2, 0, 12, 10]]
    objects = [[0, 0, 10, 10], [2, 0, 12, 10]]  # each overlaps the other's box by 2 / 3
    assert assign(boxes, [[0.2], [0.9]], objects, [0, 0]) == [0, 1]
    assert assign(boxes[1:], [[0.9]], objects, [0, 0]) == [None, 0]


def test_of_equal_objects_the_first_has_the_samples():
    assert assign([[0, 0, 10, 10]], [[0.9]], [[0, 0, 10, 10]] * 2, [0, 0]) == [0, None]
