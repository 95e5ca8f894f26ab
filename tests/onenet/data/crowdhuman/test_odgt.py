import json

import numpy as np
import pytest
from onenet.data.crowdhuman.odgt import convert_odgt
from onenet.errors import UserError
from PIL import Image

PERSON = {
    "tag": "person", "fbox": [-3, 2, 10, 20], "vbox": [0, 2, 7, 20], "hbox": [1, 2, 3, 3],
    "extra": {"box_id": 0, "occ": 1}, "head_attr": {"ignore": 1, "occ": 0, "unsure": 0},
}  # fmt: skip
UNCLEAR = {**PERSON, "extra": {"ignore": 1, "box_id": 1}}
MASK = {"tag": "mask", "fbox": [5, 5, 30, 10], "hbox": [5, 5, 30, 10], "extra": {"ignore": 1}}


@pytest.fixture
def convert(tmp_path):
    """Convert lines, of which dicts are written as JSON; images a and b are there."""
    (tmp_path / "images").mkdir()
    for name, size in (("a", (60, 40)), ("b", (30, 50))):
        Image.fromarray(np.zeros((*size[::-1], 3), np.uint8)).save(tmp_path / f"images/{name}.jpg")

    def run(*lines):
        lines = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
        (tmp_path / "annotation.odgt").write_bytes(b"\n".join(lines))
        return convert_odgt(tmp_path / "annotation.odgt", tmp_path / "images")

    return run


def test_sizes_are_those_of_upright_images(convert, tmp_path):
    for name, orientation in (("a", 6), ("b", 3)):
        path = tmp_path / f"images/{name}.jpg"
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.open(path).save(path, exif=exif)
    images = convert(*({"ID": name, "gtboxes": []} for name in "ab")).coco["images"]
    assert [(one["width"], one["height"]) for one in images] == [(40, 60), (30, 50)]


def test_boxes_become_annotations_and_masks_ignore_regions(convert):
    result = convert(
        {"ID": "a", "gtboxes": [PERSON, MASK]}, b"", {"ID": "b", "gtboxes": [UNCLEAR]}, b"  "
    )
    assert result.problems == []
    assert result.coco["categories"] == [{"id": 1, "name": "person"}]
    assert result.coco["images"] == [
        {"id": 1, "file_name": "a.jpg", "width": 60, "height": 40},
        {"id": 2, "file_name": "b.jpg", "width": 30, "height": 50},
    ]
    full = {"category_id": 1, "bbox": [-3, 2, 10, 20], "area": 200, "bbox_vis": [0, 2, 7, 20]}
    mask = {"category_id": 1, "bbox": [5, 5, 30, 10], "area": 300}
    assert result.coco["annotations"] == [
        {"id": 1, "image_id": 1, "iscrowd": 0, **full},
        {"id": 2, "image_id": 1, "iscrowd": 1, **mask},
        {"id": 3, "image_id": 2, "iscrowd": 1, **full},
    ]


def test_an_image_without_boxes_is_kept(convert):
    assert len(convert({"ID": "a", "gtboxes": []}).coco["images"]) == 1


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"ID": "a", "gtboxes": [', "no JSON: "),
        (b"\xff\xfe", "no JSON: "),
        (b'["a"]', "no JSON object"),
        ({"gtboxes": []}, 'no "ID"'),
        ({"ID": "a"}, 'no list "gtboxes"'),
        ({"ID": "a", "gtboxes": [{"tag": "person"}]}, 'without an "fbox" of four numbers'),
        ({"ID": "a", "gtboxes": [{**PERSON, "fbox": [1, 2, 3]}]}, "[1, 2, 3]"),
        (b'{"ID": "a", "gtboxes": [{"tag": "person", "fbox": [1, 2, 3, NaN]}]}', "four numbers"),
        ({"ID": "a", "gtboxes": [{**PERSON, "fbox": [1, 2, 10**400, 4]}]}, "four numbers"),
        ({"ID": "a", "gtboxes": [{**PERSON, "fbox": [True, 2, 3, 4]}]}, "four numbers"),
        (b"[" * 100_000, "no JSON: "),
        ({"ID": "a", "gtboxes": [7]}, "four numbers: 7"),
        ({"ID": "c", "gtboxes": []}, 'no image "c.jpg"'),
        ({"ID": "broken", "gtboxes": []}, 'the image "broken.jpg" cannot be read'),
        ({"ID": "b", "gtboxes": []}, '"b" is in line 1 already'),
    ],
)
def test_broken_lines_are_named_and_left_out(convert, tmp_path, line, reason):
    (tmp_path / "images/broken.jpg").write_bytes(b"no image")
    result = convert({"ID": "b", "gtboxes": [PERSON]}, line)
    ((number, told),) = result.problems
    assert number == 2 and reason in told and "\n" not in told
    assert len(result.coco["images"]) == len(result.coco["annotations"]) == 1


def test_nothing_to_convert(convert, tmp_path):
    with pytest.raises(UserError, match='no line that can be used; line 1: no "ID"'):
        convert({}, {})
    with pytest.raises(UserError, match=r'nowhere\.odgt" is missing.*crowdhuman'):
        convert_odgt(tmp_path / "nowhere.odgt", tmp_path)
    with pytest.raises(UserError, match='nowhere" is missing'):
        convert_odgt(tmp_path / "annotation.odgt", tmp_path / "nowhere")
