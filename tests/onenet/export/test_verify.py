import numpy as np
import pytest
from onenet.export.verify import difference, nonempty

FLOOR = 0.05


def detections(*rows):
    values = np.array([row[:5] for row in rows], np.float32).reshape(-1, 5)
    return values[:, :4], values[:, 4], np.array([row[5] for row in rows], np.int64)


BASE = [(0, 0, 9, 9, 0.9, 1), (5, 5, 20, 20, 0.5, 2), (1, 1, 4, 4, 0.01, 0)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ((0, 0, 9, 9.005, 0.90005, 1), ""),
        ((0, 0, 9, 9.1, 0.9, 1), "nearest box 0.1 pixels off"),
        ((0, 0, 9, 9, 0.8, 1), "score number 0 differs by 0.1"),
        ((0, 0, 9, 9, 0.9, 2), "class 1 with score 0.9000"),
        ((0, 0, 9, 9, np.nan, 1), "differs"),
    ],
    ids=["rounding", "box", "score", "class", "nan"],
)
def test_differences_are_found(change, message):
    found = difference(detections(*BASE), detections(change, *BASE[1:]), FLOOR)
    assert message in found and bool(message) == bool(found)


def test_order_of_ties_and_what_is_below_the_floor_do_not_matter():
    tied = [(*row[:4], 0.9, row[5]) for row in BASE[:2]]
    assert difference(detections(*tied), detections(*tied[::-1]), FLOOR) == ""
    other = (50, 50, 60, 60, 0.01, 1)
    assert difference(detections(*BASE), detections(*BASE[:2], other), FLOOR) == ""


def test_one_too_many_is_found():
    more = [*BASE[:2], (30, 30, 40, 40, 0.5, 0), BASE[2]]
    for pair in (BASE, more), (more, BASE):
        assert difference(*(detections(*rows) for rows in pair), FLOOR)


def test_boxes_without_area_do_not_count():
    boxes, scores, classes = nonempty(detections(*BASE, (3, 3, 3, 8, 0.4, 1)))
    assert len(boxes) == len(scores) == len(classes) == 3
    assert difference(detections(), detections(), FLOOR) == ""
