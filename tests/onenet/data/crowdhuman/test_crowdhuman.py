import json

import numpy as np
import pytest
from onenet.data import check_datasets_available, check_num_classes
from onenet.data.crowdhuman import dataset as crowdhuman
from onenet.data.crowdhuman.odgt import convert_odgt
from onenet.errors import UserError
from PIL import Image

# isort: split
from detectron2.data import DatasetCatalog, MetadataCatalog

NAMES = ["crowdhuman_train", "crowdhuman_val", "CrowdHuman_train", "CrowdHuman_val"]


@pytest.fixture
def registered(tmp_path, monkeypatch):
    """The datasets few_train and few_val in a folder of which nothing is there."""
    monkeypatch.setattr(crowdhuman, "NAMES", ("few_{split}",))
    crowdhuman.register_crowdhuman(tmp_path)
    yield crowdhuman.crowdhuman_folder(tmp_path)
    for split in crowdhuman.SPLITS:
        DatasetCatalog.remove(f"few_{split}")
        MetadataCatalog.remove(f"few_{split}")


@pytest.mark.parametrize("name", NAMES)
def test_our_names_and_the_official_ones(name):
    metadata = MetadataCatalog.get(name)
    split = name.rpartition("_")[2]
    assert metadata.evaluator_type == "crowdhuman"
    assert metadata.json_file.endswith(f"crowdhuman/annotations/{split}.json")
    assert metadata.image_root.endswith(f"crowdhuman/CrowdHuman_{split}")
    check_num_classes([name], 1)


def test_where_it_is_missing_the_conversion_is_told(registered):
    with pytest.raises(UserError) as caught:
        check_datasets_available(["few_val"])
    message = str(caught.value)
    assert "\n" not in message
    for part in ("few_val", "annotation_val.odgt", str(registered), "tools/convert_crowdhuman.py"):
        assert part in message


def test_converted_annotations_load(registered):
    images = crowdhuman.image_root(registered, "val")
    images.mkdir(parents=True)
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(images / "1,a.jpg")
    boxes = [{"tag": "person", "fbox": [1, 2, 3, 4]}, {"tag": "mask", "fbox": [5, 6, 7, 8]}]
    odgt = crowdhuman.odgt_file(registered, "val")
    odgt.write_text(json.dumps({"ID": "1,a", "gtboxes": boxes}))
    target = crowdhuman.json_file(registered, "val")
    target.parent.mkdir()
    target.write_text(json.dumps(convert_odgt(odgt, images).coco))
    check_datasets_available(["few_val"])
    (record,) = DatasetCatalog.get("few_val")
    assert [x["iscrowd"] for x in record["annotations"]] == [0, 1]
    assert [x["category_id"] for x in record["annotations"]] == [0, 0]
