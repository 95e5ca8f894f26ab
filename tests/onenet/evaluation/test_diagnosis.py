import math

import pytest
import torch
from onenet.evaluation import (
    diagnose,
    match_detections,
    merge_matches,
    recall_threshold,
    score_histogram,
)

LEFT, RIGHT, FAR = [0.0, 0, 10, 10], [20.0, 0, 30, 10], [50.0, 50, 60, 60]


def match(detections, ground_truth):
    """Match [(box, score, class)] to [(box, class)]."""
    boxes, scores, classes = zip(*detections, strict=True) if detections else ((), (), ())
    gt_boxes, gt_classes = zip(*ground_truth, strict=True) if ground_truth else ((), ())
    return match_detections(
        torch.tensor(boxes).reshape(-1, 4),
        torch.tensor(scores),
        torch.tensor(classes, dtype=torch.int64),
        torch.tensor(gt_boxes).reshape(-1, 4),
        torch.tensor(gt_classes, dtype=torch.int64),
    )


FIVE_DETECTIONS = [
    (LEFT, 0.9, 0),
    ([0.0, 0, 10, 8], 0.6, 0),  # IoU 0.8 with LEFT: a duplicate
    (RIGHT, 0.5, 0),
    ([0.0, 0, 10, 4], 0.95, 0),  # IoU 0.4 with LEFT: matches nothing
    (RIGHT, 0.99, 1),  # of another class: matches nothing
]


def test_two_ground_truths_five_detections():
    numbers = diagnose(match(FIVE_DETECTIONS, [(LEFT, 0), (RIGHT, 0)]))
    assert numbers == pytest.approx(
        {
            "duplicates": 3 / 2,
            "score_gap": ((0.9 - 0.6) + (0.5 - 0)) / 2,
            "recall": 1.0,
            "score_threshold": 0.5,
            "max_score": 0.99,
        }
    )


def test_what_becomes_of_each_ground_truth_and_detection():
    matches = match([*FIVE_DETECTIONS, ([20.0, 0, 30, 9], 0.7, 0)], [(LEFT, 0), (RIGHT, 0)])
    assert matches.found.tolist() == pytest.approx([0.9, 0.7])
    assert matches.second.tolist() == pytest.approx([0.6, 0.5])
    assert matches.iou.tolist() == pytest.approx([1.0, 0.9])  # of the best, not the highest
    assert matches.false.tolist() == pytest.approx([0.95, 0.99])
    missed = match([(LEFT, 0.9, 0)], [(LEFT, 0), (FAR, 0)])
    assert missed.second.tolist() == [-math.inf] * 2 and missed.iou.tolist() == [1.0, 0.0]


def test_detections_below_the_threshold_do_not_count():
    # Recall 0.6 of three ground truths is reached with the second, at 0.6: the 0.4 is out.
    detections = [(LEFT, 0.9, 0), (RIGHT, 0.6, 0), (RIGHT, 0.4, 0), (FAR, 0.3, 0)]
    numbers = diagnose(match(detections, [(LEFT, 0), (RIGHT, 0), (FAR, 0)]))
    assert numbers["score_threshold"] == pytest.approx(0.6)
    assert numbers["recall"] == pytest.approx(2 / 3)
    assert numbers["duplicates"] == 1.0
    assert numbers["score_gap"] == pytest.approx((0.9 + 0.2 + 0.3) / 3)


def test_unreached_recall_uses_the_lowest_score():
    far_away = [([100.0 + 20 * i, 0, 110 + 20 * i, 10], 0) for i in range(2)]
    matches = match([*FIVE_DETECTIONS, (FAR, 0.1, 0)], [(LEFT, 0), (RIGHT, 0), *far_away])
    numbers = diagnose(matches)
    assert numbers["score_threshold"] == pytest.approx(0.1)
    assert numbers["recall"] == 0.5
    assert numbers["duplicates"] == 1.5


@pytest.mark.parametrize("num_gt", [1, 5, 10, 35, 55, 100])
def test_threshold_is_the_first_score_that_reaches_the_recall(num_gt):
    boxes = [[20.0 * i, 0, 20 * i + 10, 10] for i in range(num_gt)]
    detections = [(box, 1 - i / num_gt, 0) for i, box in enumerate(boxes)]
    matches = match(detections, [(box, 0) for box in boxes])
    needed = -(-6 * num_gt // 10)  # ceil(0.6 num_gt), in integers
    assert recall_threshold(matches) == pytest.approx(1 - (needed - 1) / num_gt)
    assert diagnose(matches)["recall"] == needed / num_gt


def test_detection_between_neighbours_counts_once_but_overlaps_both():
    neighbour = [2.0, 0, 12, 10]
    between = [0.5, 0, 10.5, 10]  # IoU 0.90 with LEFT, 0.74 with its neighbour
    matches = match([(between, 0.8, 0), (neighbour, 0.5, 0)], [(LEFT, 0), (neighbour, 0)])
    assert matches.found.tolist() == pytest.approx([0.8, 0.5])
    assert len(matches.duplicates) == 0
    assert matches.gaps.tolist() == pytest.approx([0.8 - 0.5, 0.8 - 0.5])  # IoU 0.67 both ways

    alone = match([(between, 0.8, 0)], [(LEFT, 0), (neighbour, 0)])
    assert alone.found.tolist() == pytest.approx([0.8, -math.inf])
    assert alone.gaps.tolist() == pytest.approx([0.8, 0.8])


def test_overlap_is_strict():
    half = [0.0, 0, 10, 5]
    assert diagnose(match([(half, 0.9, 0)], [(LEFT, 0)]))["recall"] == 0


@pytest.mark.parametrize("repeats", [1, 2, 5])
def test_repeated_detections(repeats):
    ground_truth = [([20.0 * i, 0, 20 * i + 10, 10], i % 2) for i in range(100)]
    detections = [
        (box, 0.99 - 0.005 * i - 0.0001 * copy, label)
        for i, (box, label) in enumerate(ground_truth)
        for copy in range(repeats)
    ]
    numbers = diagnose(match(detections, ground_truth))
    # Recall 0.6 comes with the best detection of the 60th, before that one's copies.
    assert numbers["duplicates"] == (59 * repeats + 1) / 60 == pytest.approx(repeats, abs=0.1)
    assert numbers["recall"] == 0.6
    if repeats > 1:
        assert numbers["score_gap"] == pytest.approx(0.0001, abs=1e-6)


def test_duplicates_of_a_detector_with_low_scores_show():
    low = [(box, 0.1 * score, label) for box, score, label in FIVE_DETECTIONS]
    high = diagnose(match(FIVE_DETECTIONS, [(LEFT, 0), (RIGHT, 0)]))
    assert diagnose(match(low, [(LEFT, 0), (RIGHT, 0)]))["duplicates"] == high["duplicates"]


def test_nothing_to_match_is_nan_not_an_error():
    nothing = diagnose(merge_matches([]))
    assert all(math.isnan(value) for value in nothing.values())

    no_detections = diagnose(match([], [(LEFT, 0)]))
    assert no_detections.pop("recall") == 0
    assert all(math.isnan(value) for value in no_detections.values())

    no_ground_truth = diagnose(match([(LEFT, 0.5, 0)], []))
    assert no_ground_truth.pop("max_score") == no_ground_truth.pop("score_threshold") == 0.5
    assert all(math.isnan(value) for value in no_ground_truth.values())


def test_zero_area_boxes_match_nothing():
    point = [5.0, 5, 5, 5]
    matches = match([(point, 0.9, 0)], [(point, 0), (LEFT, 0)])
    assert matches.found.tolist() == [-math.inf] * 2


def random_scene(seed, num_gt=6, num_detections=40):
    """Ground truths and jittered copies of them, two classes, many overlaps."""
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(num_gt, 2, generator=generator) * 30
    gt_boxes = torch.cat([corner, corner + 8 + torch.rand(num_gt, 2, generator=generator) * 8], 1)
    gt_classes = torch.randint(2, (num_gt,), generator=generator)
    source = torch.randint(num_gt, (num_detections,), generator=generator)
    boxes = gt_boxes[source] + torch.randn(num_detections, 4, generator=generator) * 1.5
    level = torch.rand(num_gt, generator=generator) * 0.8  # copies of one score alike
    scores = level[source] + torch.rand(num_detections, generator=generator) * 0.2
    flipped = torch.rand(num_detections, generator=generator) < 0.1
    return boxes, scores, gt_classes[source] ^ flipped.long(), gt_boxes, gt_classes


def iou(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    inter = max(width, 0) * max(height, 0)
    return inter / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inter)


def diagnose_in_loops(scenes):
    """The definitions, word by word."""
    counted, gaps, all_scores = {}, [], []
    for i, (boxes, scores, classes, gt_boxes, gt_classes) in enumerate(scenes):
        counted.update({(i, g): [] for g in range(len(gt_boxes))})
        overlapping = {g: [] for g in range(len(gt_boxes))}
        detections = zip(boxes.tolist(), scores.tolist(), classes.tolist(), strict=True)
        for box, score, label in detections:
            all_scores.append(score)
            overlap = {
                g: iou(gt_box, box)
                for g, gt_box in enumerate(gt_boxes.tolist())
                if gt_classes[g] == label and iou(gt_box, box) > 0.5
            }
            for g in overlap:
                overlapping[g].append(score)
            if overlap:
                counted[i, max(overlap, key=overlap.get)].append(score)
        for scores_of_gt in overlapping.values():
            if scores_of_gt:
                best, second, *_ = [*sorted(scores_of_gt, reverse=True), 0]
                gaps.append(best - second)

    def recall(threshold):
        return sum(any(s >= threshold for s in x) for x in counted.values()) / len(counted)

    reaching = [t for t in all_scores if recall(t) >= 0.6]
    threshold = max(reaching) if reaching else min(all_scores)
    found = sum(any(s >= threshold for s in x) for x in counted.values())
    return {
        "duplicates": sum(s >= threshold for x in counted.values() for s in x) / found,
        "score_gap": sum(gaps) / len(gaps),
        "recall": recall(threshold),
        "score_threshold": threshold,
        "max_score": max(all_scores),
    }


@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_the_definitions_in_loops(seed):
    scenes = [random_scene(10 * seed + i, num_gt=1 + seed + i) for i in range(4)]
    numbers = diagnose(merge_matches(match_detections(*scene) for scene in scenes))
    assert numbers == pytest.approx(diagnose_in_loops(scenes))
    assert numbers["duplicates"] > 1  # or the scenes would test little


def test_order_of_detections_ground_truths_and_images_does_not_matter():
    scenes = [random_scene(seed) for seed in range(4)]
    expected = diagnose(merge_matches(match_detections(*scene) for scene in scenes))
    shuffled = []
    for boxes, scores, classes, gt_boxes, gt_classes in reversed(scenes):
        order, gt_order = torch.randperm(len(boxes)), torch.randperm(len(gt_boxes))
        shuffled.append(
            (boxes[order], scores[order], classes[order], gt_boxes[gt_order], gt_classes[gt_order])
        )
    batches = [merge_matches(match_detections(*x) for x in shuffled[i : i + 2]) for i in (0, 2)]
    assert diagnose(merge_matches(batches)) == pytest.approx(expected)


def test_histogram_separates_first_matches_from_duplicates():
    histogram = score_histogram(match(FIVE_DETECTIONS, [(LEFT, 0), (RIGHT, 0)]), bins=10)
    assert histogram["edges"] == pytest.approx([i / 10 for i in range(11)])
    assert sum(histogram["first"]) == 2
    assert histogram["first"][5] == 1  # the 0.5
    assert sum(histogram["duplicates"]) == histogram["duplicates"][6] == 1  # the 0.6
    assert all(isinstance(n, int) for n in histogram["first"])
