import math

import torch
from detectron2.structures import Boxes, Instances
from onenet.evaluation import compare_image, compare_objects, merge_comparisons
from onenet.evaluation.summary import format_objects


def place(number, shift=0.0):
    """A box of 10 x 10; shifted by 1 its IoU with the one at the same place is 9 / 11."""
    x = 30.0 * number + shift
    return [x, 0.0, x + 10, 10.0]


def instances(*rows):
    """Detections [(box, score)] of class 0."""
    return Instances(
        (20, 1000),
        pred_boxes=Boxes(torch.tensor([box for box, _ in rows]).reshape(-1, 4)),
        scores=torch.tensor([score for _, score in rows]),
        pred_classes=torch.zeros(len(rows), dtype=torch.int64),
    )


# Six objects that stand alone, and two of which NMS deletes one: their IoU is 8 / 12.
OBJECTS = [*(place(number) for number in range(6)), place(6), place(6, shift=2)]
FALSE = place(20)
WITHOUT = [
    (place(0), 0.40),
    (place(0, shift=1), 0.35),  # once more
    (FALSE, 0.30),
    (place(1, shift=1), 0.20),  # with NMS there is no false detection above, and its box is better
    (place(6), 0.18),
    (place(6, shift=2), 0.17),
    (place(2), 0.15),  # with NMS its box is worse
    (place(4), 0.12),  # NMS is not offered it
    (FALSE, 0.10),
    (place(3), 0.05),  # with NMS there is one false detection above
]
WITH_NMS = [
    (place(0), 0.95),
    (place(1), 0.90),
    (FALSE, 0.85),
    (place(2, shift=1), 0.80),
    (place(3), 0.70),
    (place(6), 0.65),  # the highest F1: five of eight objects, one false detection
    (FALSE, 0.10),
    (FALSE, 0.05),
]
CANDIDATES = [*WITH_NMS, (place(6, shift=2), 0.60)]


def compare(without, with_nms, candidates, objects=OBJECTS, labels=None):
    labels = torch.zeros(len(objects), dtype=torch.int64) if labels is None else labels
    gt_boxes = torch.tensor(objects).reshape(-1, 4)
    detections = (instances(*rows) for rows in (without, with_nms, candidates))
    return compare_image(*detections, gt_boxes, labels)


def percentages(results):
    """What was counted, in eighths, but for zeros."""
    return {
        task: {name: value * 8 / 100 for name, value in metrics.items() if value}
        for task, metrics in results.items()
    }


def test_every_outcome_counted_by_hand():
    results = compare_objects(compare(WITHOUT, WITH_NMS, CANDIDATES))
    assert results["objects"].pop("false_detections") == 1
    assert results["objects"].pop("overlapping") == 25
    of_two = {task: {} for task in results}
    for task, metrics in results.items():
        for name in [name for name in metrics if name.endswith("-overlapping")]:
            of_two[task][name.removesuffix("-overlapping")] = metrics.pop(name)
        assert of_two[task].keys() == metrics.keys()
    assert percentages(results) == {
        "objects": {"found": 6, "missed": 1, "twice": 1, "lower_score": 1, "worse_box": 1},
        "objects_nms": {"found": 5, "missed": 2, "deleted": 1, "worse_box": 1},
    }
    assert {name: value for name, value in of_two["objects"].items() if value} == {"found": 100}
    overlapping = {name: value for name, value in of_two["objects_nms"].items() if value}
    assert overlapping == {"found": 50, "missed": 50, "deleted": 50}


def test_the_table_tells_them_of_all_and_of_overlapping_objects():
    results = compare_objects(compare(WITHOUT, WITH_NMS, CANDIDATES))
    title, header, _, *rows = format_objects(results, "NMS 0.6").splitlines()
    assert "down to 1 false detections; 25.0 % overlap another by IoU > 0.2" in title
    detectors = ["as trained", "with NMS"]
    cells = [[cell.strip() for cell in row.split("|")[1:-1]] for row in (header, *rows)]
    assert cells[0] == ["", *detectors, *(f"overlapping: {name}" for name in detectors)]
    assert cells[1] == ["found", "75.00", "62.50", "100.00", "50.00"]
    assert cells[3] == ["of these, deleted by NMS", "", "12.50", "", "50.00"]


def test_the_scale_of_the_scores_does_not_matter():
    expected = compare_objects(compare(WITHOUT, WITH_NMS, CANDIDATES))
    low = [(box, score**3) for box, score in WITHOUT]
    assert compare_objects(compare(low, WITH_NMS, CANDIDATES)) == expected


def test_false_detections_of_all_images_rank_an_object():
    """The object that is missed without NMS is alone in an image of its own."""

    def image(alone):
        rows = WITHOUT, WITH_NMS, CANDIDATES, [(box, None) for box in OBJECTS]
        own = [[row for row in part if (row[0] == place(3)) == alone] for part in rows]
        return compare(*own[:3], [box for box, _ in own[3]])

    expected = compare_objects(compare(WITHOUT, WITH_NMS, CANDIDATES))
    assert compare_objects(merge_comparisons([image(True), image(False)])) == expected
    assert compare_objects(image(True))["objects"]["missed"] == 0


def test_a_false_detection_of_the_same_score_is_not_above():
    results = compare_objects(compare([(FALSE, 0.4), (place(0), 0.4)], [(place(0), 0.9)], []))
    assert results["objects"]["found"] == results["objects_nms"]["found"] == 100 / 8


def test_a_detector_beside_itself_loses_nothing():
    results = compare_objects(compare(WITHOUT, WITHOUT, WITHOUT))
    different = ("missed", "lower_score", "worse_box", "deleted")
    assert all(results[task].get(name, 0) == 0 for task in results for name in different)


def test_an_object_of_another_class_overlaps_too():
    labels = torch.tensor([0, 1, 0])
    objects = [place(0), place(0, shift=2), place(1)]
    assert compare([], [], [], objects, labels).overlapping.tolist() == [True, True, False]


def test_where_nms_leaves_nothing_objects_above_all_false_detections_are_found():
    results = compare_objects(compare(WITHOUT, [], []))
    assert results["objects"]["false_detections"] == 0
    assert results["objects"]["found"] == results["objects_nms"]["missed"] == 100 / 8


def test_nothing_can_be_said_of_no_objects():
    for pool in (merge_comparisons([]), compare(WITHOUT, WITH_NMS, CANDIDATES, objects=[])):
        results = compare_objects(pool)
        results["objects"].pop("false_detections")
        assert all(math.isnan(value) for task in results.values() for value in task.values())


def test_detections_of_no_kind():
    results = compare_objects(compare([], [], []))
    assert results["objects"]["found"] == results["objects_nms"]["found"] == 0
