import json
import pickle
import subprocess
import sys

import cv2
import numpy as np
import pytest
from onenet import ConfigError, UserError
from onenet.data import (
    check_datasets_available,
    check_same_classes,
    class_names,
    count_classes,
    register_datasets,
)

# isort: split
from detectron2.data import DatasetCatalog, MetadataCatalog

CATEGORIES = [{"id": 7, "name": "dog"}, {"id": 3, "name": "cat"}]


def coco(**sections):
    box = {"id": 1, "image_id": 1, "category_id": 7, "bbox": [1, 2, 3, 4], "area": 12, "iscrowd": 0}
    image = {"id": 1, "file_name": "1.png", "width": 8, "height": 8}
    return {"images": [image], "annotations": [box], "categories": CATEGORIES, **sections}


def with_box(**fields):
    """Sections with one annotation in which some fields are others."""
    return {"annotations": [{**coco()["annotations"][0], **fields}]}


def with_image(**fields):
    return {"images": [{**coco()["images"][0], **fields}]}


@pytest.fixture(autouse=True)
def clean_catalogs():
    before = set(DatasetCatalog.list())
    yield
    for name in set(DatasetCatalog.list()) - before:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


@pytest.fixture
def mine(tmp_path):
    """Write the files of a dataset, and return its entry of DATASETS.REGISTER."""

    def write(name="mine", **sections):
        (tmp_path / "images").mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / "images/1.png"), np.zeros((8, 8, 3), np.uint8))
        (tmp_path / f"{name}.json").write_text(json.dumps(coco(**sections)))
        return [name, str(tmp_path / f"{name}.json"), str(tmp_path / "images")]

    return write


def message(caught):
    text = str(caught.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize(
    "wrap", [lambda entry: [entry], lambda entry: entry, lambda e: (tuple(e),)]
)
def test_classes_are_known_before_loading_and_in_the_order_of_ids(mine, wrap):
    register_datasets(wrap(mine()))
    check_datasets_available(["mine"])
    metadata = MetadataCatalog.get("mine")
    assert metadata.evaluator_type == "coco"
    assert metadata.thing_classes == ["cat", "dog"] == class_names("mine")
    assert count_classes(["mine"]) == 2
    (record,) = DatasetCatalog.get("mine")
    assert record["annotations"][0]["category_id"] == 1
    assert metadata.thing_classes == ["cat", "dog"]


def test_registering_again_replaces(mine):
    for categories in (CATEGORIES, [{"id": 7, "name": "only"}]):
        register_datasets([mine(categories=categories)])
        assert class_names("mine") == [one["name"] for one in reversed(categories)]
        DatasetCatalog.get("mine")


def test_registering_reads_no_file():
    register_datasets([["mine", "nowhere.json", "nowhere"]])
    assert "mine" in DatasetCatalog.list()


def test_a_home_folder_is_found(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    register_datasets([["mine", "~/a.json", "~"]])
    assert MetadataCatalog.get("mine").json_file == str(tmp_path / "a.json")


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ([["mine", "a.json"]], "a.json"),
        (["mine", "a.json", "images", "more"], "'mine'"),
        ([["mine", "a.json", 3]], "3"),
        ([["mine", "", "images"]], "''"),
        ([["mine", "a.json", "a"], ["mine", "b.json", "b"]], '"mine" twice'),
        ([["coco_2017_val", "a.json", "a"]], '"coco_2017_val" is taken'),
    ],
)
def test_values_that_are_no_datasets(value, named):
    with pytest.raises(ConfigError, match=r"DATASETS\.REGISTER") as caught:
        register_datasets(value)
    assert named in message(caught)


@pytest.mark.parametrize(
    ("sections", "named"),
    [
        ({"categories": []}, 'no categories: the list "categories"'),
        ({"categories": None}, 'no list "categories"'),
        ({"images": {}}, 'no list "images"'),
        ({"categories": [{"id": 1}]}, 'category without "name"'),
        ({"categories": [{"name": "cat"}]}, 'category without "id" (number 0)'),
        ({"categories": [{"id": "1", "name": "cat"}]}, "\"id\" is '1', must be a whole number"),
        ({"categories": [{"id": 1, "name": ["cat"]}]}, "\"name\" is ['cat'], must be text"),
        ({"categories": [{"id": 1, "name": None}]}, '"name" is None, must be text'),
        (
            {"categories": [*CATEGORIES, {"id": 9, "name": "cat"}]},
            'two categories of the name "cat" (ids 3 and 9)',
        ),
        ({"categories": [{"id": 1, "name": 0}]}, '"name" is 0, must be text (in quotation marks)'),
        ({"categories": [CATEGORIES]}, "a category (number 0) that is [{'id'"),
        ({"categories": [CATEGORIES[0]] * 2}, "several entries of category id 7"),
        ({"images": [{"id": 1, "file_name": "1.png", "width": 8}]}, 'image without "height"'),
        ({"categories": [CATEGORIES[1]]}, 'category_id 7, which is not in "categories"'),
        ({"images": []}, 'image_id 1, which is not in "images"'),
        ({"images": [], "annotations": []}, "no images"),
        ({"annotations": {}}, 'no list "annotations"'),
        ({"images": [coco()["images"][0]] * 2}, "several entries of image id 1"),
        ({"images": [coco()["images"][0], {**coco()["images"][0], "id": "2"}]}, '"id" is text'),
        (with_image(id=2**70), '"id" is 1180591620717411303424, must be a whole number'),
        ({"annotations": [{"id": 5, "image_id": 1, "category_id": 3}]}, 'without "bbox" (id 5)'),
        (with_box(bbox=None), 'annotation (id 1) whose "bbox" is None, must be four numbers'),
        (with_box(bbox=[1, 2, None, 4]), '"bbox" is [1, 2, None, 4], must be four numbers'),
        (with_box(bbox=[1, 2, 3]), "four numbers"),
        (with_box(bbox=[[1, 2, 3, 4]]), '"bbox" is [[1, 2, 3, 4]], must be four numbers'),
        (with_box(bbox=["1", 2, 3, 4]), "four numbers"),
        (with_box(bbox=[1, 2, 3, float("nan")]), "four numbers"),
        (with_box(category_id=[7]), '"category_id" is [7], must be a whole number or text'),
        (with_box(area=None), '"area" is None, must be a number'),
        (with_box(iscrowd=None), '"iscrowd" is None, must be 0 or 1'),
        (with_box(ignore=1), '"ignore" is 1, must be 0 ("iscrowd" 1'),
        (with_image(width="8"), "an image (id 1) whose \"width\" is '8', must be a number"),
        (with_image(height=8.5), '"height" is 8.5, must be a number of pixels'),
        (with_image(height=0), '"height" is 0, must be a number of pixels'),
        (with_image(file_name=3), '"file_name" is 3, must be text'),
    ],
)
def test_a_file_that_is_not_in_the_format(mine, sections, named):
    register_datasets([mine(**sections)])
    with pytest.raises(UserError, match=r'"mine" of DATASETS\.REGISTER.*mine\.json" has') as caught:
        check_datasets_available(["mine"])
    assert named in message(caught)


def test_a_file_that_is_no_json(mine):
    entry = mine()
    with open(entry[1], "w") as file:
        file.write('{"images": [')
    register_datasets([entry])
    with pytest.raises(UserError, match=r'mine\.json" is not JSON: .*line 1') as caught:
        check_datasets_available(["mine"])
    message(caught)


@pytest.mark.parametrize("missing", [1, 2])
def test_missing_files(mine, tmp_path, monkeypatch, missing):
    monkeypatch.chdir(tmp_path)
    entry = mine()
    entry[missing] = "elsewhere"
    register_datasets([entry])
    with pytest.raises(UserError, match='"elsewhere".*working directory') as caught:
        check_datasets_available(["mine"])
    assert str(tmp_path) in message(caught)


def test_the_wrong_image_folder(mine, tmp_path):
    entry = mine()
    register_datasets([[*entry[:2], str(tmp_path)]])
    with pytest.raises(UserError, match=r'no image "1\.png" in'):
        check_datasets_available(["mine"])


@pytest.mark.parametrize(
    ("others", "named"),
    [
        ([{"id": 7, "name": "cow"}, {"id": 3, "name": "cat"}], ["number 1", '"dog"', '"cow"']),
        ([{"id": 7, "name": "cat"}, {"id": 3, "name": "dog"}], ["number 0", '"cat"', '"dog"']),
        ([*CATEGORIES, {"id": 9, "name": "cow"}], ["number 2", "missing", '"cow"']),
    ],
)
def test_datasets_with_other_classes(mine, others, named):
    register_datasets([mine(), mine("same"), mine("other", categories=others)])
    check_datasets_available(["mine", "same", "other"])
    check_same_classes(["mine", "same"])
    with pytest.raises(UserError, match='"mine" and "other"') as caught:
        check_same_classes(["mine", "same", "other"])
    assert all(part in message(caught) for part in named)


def test_counting_the_classes_of_datasets_that_do_not_tell():
    DatasetCatalog.register("silent", list)
    with pytest.raises(ConfigError, match=r"NUM_CLASSES 0.*silent"):
        count_classes(["silent"])
    with pytest.raises(ConfigError, match="digits_val"):
        count_classes(["digits_vall"])
    assert count_classes(["silent", "coco_2017_val"]) == 80


def test_a_process_of_its_own_registers_again(mine, tmp_path):
    """A spawned process gets the config alone."""
    from onenet.engine import setup_cfg

    cfg = setup_cfg(opts=["DATASETS.REGISTER", str([mine()]), "DATASETS.TRAIN", "('mine',)",
                          "MODEL.OneNet.NUM_CLASSES", "0", "OUTPUT_DIR", str(tmp_path / "out"),
                          "MODEL.DEVICE", "cpu"])  # fmt: skip
    assert cfg.MODEL.OneNet.NUM_CLASSES == 2
    (tmp_path / "cfg").write_bytes(pickle.dumps(cfg))
    program = (
        "import pickle, sys, onenet\n"
        "from argparse import Namespace\n"
        "from onenet.engine import Trainer, setup_run\n"
        "cfg = pickle.load(open(sys.argv[1], 'rb'))\n"
        "setup_run(cfg, Namespace(config_file='', eval_only=False))\n"
        "from onenet.data import class_names\n"
        "print(class_names('mine'))\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path / "cfg")],
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "['cat', 'dog']"
