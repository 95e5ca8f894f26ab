import numpy as np
import pytest
from onenet.data.coco.repair import repair_boxes
from onenet.errors import UserError

# isort: split
from detectron2.structures import BoxMode


def record(*annotations, file_name="a.png"):
    return {
        "file_name": file_name,
        "height": 100,
        "width": 200,
        "annotations": [
            {"bbox": list(box), "bbox_mode": mode, "category_id": label}
            for box, mode, label in annotations
        ],
    }


def message(caught):
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_good_annotations_are_untouched():
    records = [record(((0, 0, 200, 100), BoxMode.XYXY_ABS, 0), ((5, 5, 9, 9), BoxMode.XYWH_ABS, 1))]
    before = repr(records)
    assert repair_boxes(records, "set") == ""
    assert repr(records) == before


@pytest.mark.parametrize(
    "box",
    [
        (10, 10, 0, 5),
        (10, 10, 5, 0),
        (10, 10, -4, 5),
        (300, 10, 5, 5),
        (-20, 10, 20, 5),
        (10, 100, 5, 5),
        (10, 10, float("nan"), 5),
        (10, 10, float("inf"), 5),
    ],
)
def test_boxes_of_nothing_are_dropped_and_counted_once(box):
    good = ((10, 10, 20, 20), BoxMode.XYWH_ABS, 0)
    bad = (box, BoxMode.XYWH_ABS, 0)
    records = [record(good), record(bad, good, bad, file_name="b.png"), record(bad)]
    told = repair_boxes(records, "my_set")
    assert [len(r["annotations"]) for r in records] == [1, 1, 0]
    assert all(a["bbox"] == [10, 10, 20, 20] for r in records for a in r["annotations"])
    assert "3 of 5 boxes" in told and "dropped" in told and '"b.png"' in told


def test_boxes_that_leave_the_image_are_clipped_and_counted():
    records = [
        record(
            ((-10, 20, 50, 40), BoxMode.XYXY_ABS, 0),
            ((180, 90, 40, 40), BoxMode.XYWH_ABS, 0),
            ((10.0, 10.0, 200.5, 50.0), BoxMode.XYXY_ABS, 0),  # rounding, not a mistake
        )
    ]
    for annotation in records[0]["annotations"]:
        annotation["area"] = 7
    told = repair_boxes(records, "set")
    boxes = [
        BoxMode.convert(a["bbox"], a["bbox_mode"], BoxMode.XYXY_ABS)
        for a in records[0]["annotations"]
    ]
    expected = [[0, 20, 50, 40], [180, 90, 200, 100], [10, 10, 200.5, 50]]
    assert np.array(boxes).tolist() == expected
    assert ["area" in annotation for annotation in records[0]["annotations"]] == [0, 0, 1]
    assert "2 of 3 boxes" in told and "clipped" in told


def test_a_box_without_four_numbers_is_named():
    records = [record(((1, 2, 3), BoxMode.XYWH_ABS, 0))]
    with pytest.raises(UserError) as caught:
        repair_boxes(records, "my_set")
    assert '"my_set"' in message(caught) and "[1, 2, 3]" in message(caught)


def test_both_repairs_are_told_in_one_line():
    bad = (((-10, 20, 50, 40), BoxMode.XYXY_ABS, 0), ((5, 5, 0, 0), BoxMode.XYWH_ABS, 0))
    told = repair_boxes([record(*bad)], "set")
    assert "1 of 2 boxes have no area" in told and "1 of 2 boxes have a part outside" in told
    assert "\n" not in told


@pytest.mark.parametrize("box", [(0.1, 0.2, 0.3, 0.4), (0, 0, 1, 1), (0.6, 0.5, 0.42, 0.5)])
def test_fractions_of_the_image_are_refused(box):
    """Even where one reaches a little beyond the image."""
    fraction = (box, BoxMode.XYWH_ABS, 0)
    empty = ((0, 0, 0, 0), BoxMode.XYWH_ABS, 0)
    with pytest.raises(UserError, match='"my_set".*2 boxes.*fractions.*multiply x') as caught:
        repair_boxes([record(fraction, fraction, empty)], "my_set")
    message(caught)
    pixels = ((10, 10, 20, 20), BoxMode.XYWH_ABS, 0)
    assert repair_boxes([record(fraction), record(pixels)], "my_set") == ""


def test_boxes_that_are_all_empty_are_no_fractions():
    records = [record(((0, 0, 0, 0), BoxMode.XYWH_ABS, 0))]
    assert "1 of 1 boxes" in repair_boxes(records, "set")
    assert records[0]["annotations"] == []


def test_no_annotations_at_all():
    assert repair_boxes([record()], "set") == repair_boxes([], "set") == ""
