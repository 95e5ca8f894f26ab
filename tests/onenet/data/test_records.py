"""What becomes of COCO json files that others choke on."""

import json
import logging

import pytest
from onenet.data import load_records, read_records, register_datasets
from onenet.errors import UserError

# isort: split
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import register_coco_instances
from detectron2.structures import BoxMode

BOX = [10, 20, 30, 40]


def content(count=2, **fields):
    """One image with equal boxes, whose annotations have these fields too."""
    box = {"image_id": 1, "category_id": 1, "bbox": BOX, "area": 1200, "iscrowd": 0}
    return {
        "images": [{"id": 1, "file_name": "1.png", "width": 96, "height": 96}],
        "annotations": [{"id": i, **box, **fields} for i in range(count)],
        "categories": [{"id": 1, "name": "disc"}],
    }


@pytest.fixture(params=["DATASETS.REGISTER", "register_coco_instances"])
def register(request, tmp_path):
    """Write the content of a json file and register it, by a config key or as Detectron2 does."""
    names = []

    def add(content, name="mine"):
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(content))
        (tmp_path / "1.png").touch()
        if request.param == "DATASETS.REGISTER":
            register_datasets([[name, str(path), str(tmp_path)]])
        else:
            register_coco_instances(name, {}, str(path), str(tmp_path))
        names.append(name)
        return name

    yield add
    for name in names:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


def annotations(name):
    return [one for record in load_records(name) for one in record["annotations"]]


def test_records_are_in_the_standard_format(register, tmp_path):
    (record,) = load_records(register(content(1)))
    assert record == {
        "file_name": str(tmp_path / "1.png"), "height": 96, "width": 96, "image_id": 1,
        "annotations": [{"bbox": BOX, "bbox_mode": BoxMode.XYWH_ABS, "category_id": 0,
                         "iscrowd": 0, "area": 1200}],
    }  # fmt: skip
    assert MetadataCatalog.get("mine").thing_classes == ["disc"]


@pytest.mark.parametrize(
    "segmentation",
    [[], [[]], [[10, 20, 40, 60]], [[1, 2, 3]], [[[1, 2], [3, 4], [5, 6]]], None, {}, "",
     [None], 7, {"size": [96, 96], "counts": [0, 9216]}, {"counts": "broken"}],
    ids=repr,
)  # fmt: skip
def test_no_segmentation_drops_its_box(register, segmentation):
    fields = {"segmentation": segmentation, "keypoints": [1, 2, 3, 4], "num_keypoints": "x"}
    found = annotations(register(content(3, **fields)))
    assert [one["bbox"] for one in found] == [BOX] * 3
    assert not {"segmentation", "keypoints"} & found[0].keys()


@pytest.mark.parametrize("ids", [(0, 1), (5, 5), ("a", "b"), (None, {}), ()])
def test_ids_of_annotations_do_not_matter(register, ids):
    coco = content()
    for one in coco["annotations"]:
        del one["id"]
    for one, id_ in zip(coco["annotations"], ids, strict=False):
        one["id"] = id_
    assert len(annotations(register(coco))) == 2


@pytest.mark.parametrize("ids", [(0, 7), ("b", "a"), (-3, 2)])
def test_ids_of_images_are_kept_and_sorted(register, ids):
    coco = content(0)
    image = coco["images"][0]
    coco["images"] = [{**image, "id": id_} for id_ in ids]
    coco["annotations"] = [{"image_id": ids[0], "category_id": 1, "bbox": BOX}]
    records = load_records(register(coco))
    assert [record["image_id"] for record in records] == sorted(ids)
    assert {r["image_id"]: len(r["annotations"]) for r in records} == {ids[0]: 1, ids[1]: 0}


def test_categories_with_id_0_gaps_and_digits_for_names(register):
    coco = content()
    coco["categories"] = [{"id": 7, "name": "10"}, {"id": 0, "name": "9"}, {"id": 3, "name": "x"}]
    for one, category in zip(coco["annotations"], (7, 0), strict=True):
        one["category_id"] = category
    name = register(coco)
    assert [one["category_id"] for one in annotations(name)] == [2, 0]
    assert MetadataCatalog.get(name).thing_classes == ["9", "x", "10"]


@pytest.mark.parametrize(
    ("area", "kept"), [(1200, True), (3, True), (31 * 41, True), (0, False), (-5, False),
                       (1e12, False), (1e-300, True)]
)  # fmt: skip
def test_areas_that_cannot_be_are_left_out(register, area, kept):
    assert ["area" in one for one in annotations(register(content(1, area=area)))] == [kept]


def test_a_file_without_annotations_has_nothing_to_find(register):
    coco = content()
    del coco["annotations"]
    (record,), warning = read_records(register(coco))
    assert record["annotations"] == []
    assert warning.startswith('dataset "mine": there is no object in its 1 images')


def test_a_mark_before_the_text_is_no_part_of_it(register, tmp_path):
    name = register(content(1))
    path = tmp_path / "mine.json"
    path.write_text(path.read_text(), encoding="utf-8-sig")
    assert len(annotations(name)) == 1


def test_what_was_repaired_is_told_once_and_in_one_line(register, caplog, request):
    coco = content(3)
    coco["annotations"][1]["bbox"] = [5, 5, 0, 0]
    coco["annotations"][2]["bbox"] = [-20, 20, 50, 40]
    name = register(coco, f"told {request.node.name}")
    with caplog.at_level(logging.WARNING, logger="onenet"):
        first, second = annotations(name), annotations(name)
    assert first == second
    assert [one["bbox"] for one in first] == [BOX, [0, 20, 30, 60]]
    (told,) = [record.getMessage() for record in caplog.records]
    assert told.startswith(f'dataset "{name}": 1 of 3 boxes have no area')
    assert "1 of 3 boxes have a part outside" in told


def test_records_of_somebody_elses_are_not_changed():
    mask = {"segmentation": [[]], "bbox": [0, 0, 300, 40], "bbox_mode": BoxMode.XYXY_ABS}
    theirs = [{"file_name": "1.png", "height": 96, "width": 96, "image_id": 1,
               "annotations": [{"category_id": 0, **mask}]}, {"file_name": "2.png", "height": 96,
               "width": 96, "image_id": 2}]  # fmt: skip
    DatasetCatalog.register("theirs", lambda: theirs)
    before = repr(theirs)
    records, warning = read_records("theirs")
    DatasetCatalog.remove("theirs")
    assert repr(theirs) == before
    assert "clipped" in warning
    (annotation,) = records[0]["annotations"]
    assert annotation["bbox"] == [0, 0, 96, 40] and "segmentation" not in annotation
    assert records[1]["annotations"] == []


def test_other_classes_than_registered(register):
    name = register(content(1))
    MetadataCatalog.get(name).thing_classes = ["box"]
    with pytest.raises(UserError, match='"mine" is registered with other categories') as caught:
        load_records(name)
    assert "\n" not in str(caught.value)
