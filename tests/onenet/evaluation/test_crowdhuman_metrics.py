import math

import numpy as np
import pytest
from onenet.evaluation.crowdhuman_metrics import (
    FALSE,
    IGNORED,
    TRUE,
    Scored,
    crowdhuman_metrics,
    match_image,
    pool,
)

PEOPLE = [[0, 0, 10, 10], [20, 0, 30, 10]]
REGIONS = [[50, 0, 90, 40]]
# By descending score, with what becomes of each.
DETECTIONS = [
    ([0, 0, 10, 10], TRUE),  # the first person
    ([0, 0, 10, 8], FALSE),  # again, and there is no other
    ([55, 5, 65, 15], IGNORED),  # in the region
    ([60, 10, 70, 20], IGNORED),  # so is this: a region takes any number
    ([20, 0, 30, 6], TRUE),  # IoU 60 / 100
    ([45, 0, 55, 10], FALSE),  # half of it in the region, which is not more than half
    ([20, 0, 25, 10], FALSE),  # IoU 50 / 100 is not above 0.5, and the person is taken
]


def boxes(*rows):
    return np.array(rows, float).reshape(-1, 4)


def scored(true, people, images, scores=None):
    scores = np.linspace(0.9, 0.1, len(true)) if scores is None else np.array(scores)
    return Scored(scores, np.array(true, bool), people, images)


def test_matching_by_hand():
    outcome = match_image(boxes(*(b for b, _ in DETECTIONS)), boxes(*PEOPLE), boxes(*REGIONS))
    assert outcome.tolist() == [wanted for _, wanted in DETECTIONS]


def test_a_taken_person_leaves_the_second_best_to_the_next_detection():
    # IoU of the detection with the people: 1 and 9 / 11; the second detection gets the other one.
    people = boxes([0, 0, 10, 10], [1, 0, 11, 10])
    outcome = match_image(boxes([0, 0, 10, 10], [0, 0, 10, 10]), people, boxes())
    assert outcome.tolist() == [TRUE, TRUE]


def test_a_person_in_a_region_is_found_before_it_is_ignored():
    outcome = match_image(
        boxes([0, 0, 9, 9], [0, 0, 9, 9]), boxes(PEOPLE[0]), boxes([0, 0, 50, 50])
    )
    assert outcome.tolist() == [TRUE, IGNORED]


def test_boxes_without_area_match_nothing():
    nothing = boxes([5, 5, 5, 5])
    assert match_image(nothing, nothing, nothing).tolist() == [FALSE]
    assert match_image(boxes(), boxes(*PEOPLE), boxes(*REGIONS)).shape == (0,)


def test_metrics_by_hand():
    """Two images, four people, and the outcomes T F T F F.

    recall      1/4  1/4  2/4  2/4  2/4
    precision    1   1/2  2/3  2/4  2/5
    AP: the line from 1/2 to 2/3 over the only step of recall: 1/4 * (1/2 + 2/3) / 2 = 7/48
    false positives per image 0, 1/2, 1/2, 1, 3/2: the points up to 0.3162, seven, are reached by
    the second detection (miss rate 3/4), 0.5623 and 1 by the fourth (2/4).
    """
    metrics = crowdhuman_metrics(scored([1, 0, 1, 0, 0], people=4, images=2))
    assert metrics == {
        "AP50": pytest.approx(100 * 7 / 48),
        "mMR": pytest.approx(100 * (0.75**7 * 0.5**2) ** (1 / 9)),
        "recall": 50.0,
    }


def test_points_never_reached_have_the_last_miss_rate():
    """One false positive in 20 images is 0.05 a image: it reaches 0.01, 0.0178 and 0.0316.

    There the miss rate is 1 - 1/4; the other six have that of all detections, 1 - 2/4.
    """
    metrics = crowdhuman_metrics(scored([1, 0, 1], people=4, images=20))
    assert metrics["mMR"] == pytest.approx(100 * (0.75**3 * 0.5**6) ** (1 / 9))


def test_the_scores_decide_the_order():
    parts = [scored([0], 1, 1, [0.2]), scored([1], 2, 1, [0.8]), scored([1, 0], 1, 0, [0.5, 0.1])]
    expected = crowdhuman_metrics(scored([1, 1, 0, 0], people=4, images=2))
    assert crowdhuman_metrics(pool(parts)) == expected
    assert crowdhuman_metrics(pool(reversed(parts))) == expected


def test_everybody_found():
    # The curve begins at the first of the ten detections: 9/10 of it are there.
    metrics = crowdhuman_metrics(scored([1] * 10, people=10, images=1))
    assert metrics == {"AP50": pytest.approx(90), "mMR": 0.0, "recall": 100.0}


def test_no_detections_and_nobody_to_be_found():
    nothing = crowdhuman_metrics(scored([], people=3, images=1))
    assert nothing == {"AP50": 0.0, "mMR": 100.0, "recall": 0.0}
    assert all(map(math.isnan, crowdhuman_metrics(scored([0], people=0, images=1)).values()))
    assert all(map(math.isnan, crowdhuman_metrics(pool([])).values()))
