import pytest
from onenet.data.coco.tile_annotations import cut_annotations

# isort: split
from detectron2.structures import BoxMode

TILE = (100, 200, 150, 250)


def annotation(*box, mode=BoxMode.XYXY_ABS, **more):
    return {"bbox": list(box), "bbox_mode": mode, "category_id": 3, "iscrowd": 0, **more}


def test_a_whole_box_is_moved():
    (cut,) = cut_annotations([annotation(110, 220, 125, 225.5)], TILE, min_share=1)
    assert cut == {"bbox": [10, 20, 15, 5.5], "category_id": 3, "iscrowd": 0, "area": 82.5}


def test_both_kinds_of_boxes_are_the_same():
    corners, sides = (
        annotation(90, 220, 110, 230),
        annotation(90, 220, 20, 10, mode=BoxMode.XYWH_ABS),
    )
    assert cut_annotations([corners], TILE, 0.5) == cut_annotations([sides], TILE, 0.5)


def test_a_box_counts_from_the_share_on():
    half = annotation(90, 190, 110, 220)  # a third of it: 10 x 20 of 20 x 30
    (cut,) = cut_annotations([half], TILE, min_share=1 / 3)
    assert cut["bbox"] == [0, 0, 10, 20]
    assert cut_annotations([half], TILE, min_share=0.34) == []


def test_a_box_beside_the_tile_never_counts():
    beside = [annotation(50, 200, 100, 250), annotation(110, 250, 120, 260, iscrowd=1)]
    assert cut_annotations(beside, TILE, min_share=0) == []


def test_a_crowd_counts_however_little_is_left():
    (cut,) = cut_annotations([annotation(0, 0, 101, 201, iscrowd=1)], TILE, min_share=1)
    assert (cut["bbox"], cut["iscrowd"]) == ([0, 0, 1, 1], 1)


@pytest.mark.parametrize(("known", "expected"), [({}, 200), ({"area": 150}, 50)])
def test_the_area_shrinks_with_the_box(known, expected):
    (cut,) = cut_annotations([annotation(90, 190, 110, 220, **known)], TILE, min_share=0)
    assert cut["area"] == pytest.approx(expected)


def test_no_annotations():
    assert cut_annotations([], TILE, min_share=0) == []
