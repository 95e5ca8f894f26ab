import json
from pathlib import Path

import pytest
import torch
from detectron2.data import MetadataCatalog
from onenet import UserError
from onenet.data.annotated import annotated_mapper, annotated_scenes, evenly_spread
from onenet.data.coco.annotated_files import load_annotated_files

NUM_CLASSES = 10


@pytest.fixture
def files(few_digits):
    """The images and the annotations of a few scenes."""
    folder = few_digits / "digits"
    return folder / "val", folder / "annotations" / "digits_val.json"


def test_scenes_are_those_of_tests_with_their_ground_truth(tiny_cfg, few_digits_names):
    scenes = annotated_scenes(
        tiny_cfg("CenterNet", "INPUT.MIN_SIZE_TEST", 80), few_digits_names["val"]
    )
    scene = scenes[1]
    assert scene["image"].shape == (3, 80, 80)
    assert len(scene["instances"]) > 0
    assert scene["instances"].gt_boxes.tensor.max() <= 80
    assert torch.equal(scenes[1]["image"], scene["image"])  # nothing is random


@pytest.mark.parametrize(
    ("total", "count", "expected"),
    [(200, 3, [0, 100, 199]), (2, 8, [0, 1]), (1, 8, [0]), (5, 1, [0])],
)
def test_evenly_spread(total, count, expected):
    assert evenly_spread(total, count) == expected


def test_files_get_their_annotations(files, tiny_cfg):
    images, annotations = files
    path = images / "000002.png"
    (record,) = load_annotated_files([path], str(annotations), NUM_CLASSES)
    coco = json.loads(annotations.read_text())
    expected = [x["bbox"] for x in coco["annotations"] if x["image_id"] == 3]
    assert [x["bbox"] for x in record["annotations"]] == expected
    assert record["file_name"] == str(path)
    scene = annotated_mapper(tiny_cfg())(record)
    assert len(scene["instances"]) == len(expected)
    assert scene["instances"].gt_classes.max() < NUM_CLASSES  # contiguous


def test_a_folder_gives_all_that_the_annotations_know(files):
    images, annotations = files
    records = load_annotated_files([images], str(annotations), NUM_CLASSES)
    assert [Path(r["file_name"]).name for r in records] == [f"00000{i}.png" for i in range(4)]


def mistakes(files, tmp_path):
    images, annotations = files
    other = tmp_path / "00003.png"
    other.write_bytes((images / "000003.png").read_bytes())
    broken = tmp_path / "broken.json"
    broken.write_text("{}")
    return [
        ([other], annotations, 'no image "00003.png". Did you'),
        ([images / "7.png"], annotations, "no image or folder"),
        ([tmp_path], annotations, "no image of"),
        ([images], tmp_path / "no.json", "cannot read the annotations"),
        ([images], broken, 'has no list "images"'),
    ]


@pytest.mark.parametrize("mistake", range(5))
def test_mistakes_are_told_in_one_line(files, tmp_path, mistake):
    paths, annotations, message = mistakes(files, tmp_path)[mistake]
    with pytest.raises(UserError, match=message) as caught:
        load_annotated_files(paths, str(annotations), NUM_CLASSES)
    assert "\n" not in str(caught.value)


def test_the_classes_must_be_the_models(files):
    with pytest.raises(UserError, match="NUM_CLASSES is 3, but dataset .* has 10 classes"):
        load_annotated_files([files[0]], str(files[1]), 3)
    MetadataCatalog.remove(str(files[1]))


def test_blank_images_have_the_same_objects(files, tiny_cfg, tmp_path):
    images, annotations = files
    cfg = tiny_cfg("CenterNet", "INPUT.MIN_SIZE_TEST", 80)
    (record,) = load_annotated_files([images / "000002.png"], str(annotations), NUM_CLASSES)
    expected = annotated_mapper(cfg)(record)
    scene = annotated_mapper(cfg, blank=True)({**record, "file_name": str(tmp_path / "none.png")})
    assert not scene["image"].any() and scene["image"].shape == expected["image"].shape
    boxes = scene["instances"].gt_boxes.tensor
    assert torch.equal(boxes, expected["instances"].gt_boxes.tensor)
    del record["height"], record["width"]  # then they have to be read
    assert annotated_mapper(cfg, blank=True)(record)["image"].any()
