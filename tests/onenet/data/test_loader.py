import json
import logging
from itertools import islice

import cv2
import numpy as np
import pytest
import torch
from onenet.data import build_test_loader, build_train_loader, loader
from onenet.data.loader import check_loader, group_by_aspect, load_train_dicts
from onenet.errors import ConfigError, UserError

# isort: split
from detectron2.config import get_cfg
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import register_coco_instances
from onenet import add_onenet_config

BOX = [10, 10, 20, 20]


@pytest.fixture
def dataset(tmp_path):
    """A COCO dataset of three images in the catalog; returns a function that writes its json."""
    for index in range(3):
        cv2.imwrite(str(tmp_path / f"{index}.png"), np.full((64, 64, 3), 50 * index, np.uint8))
    path = tmp_path / "annotations.json"

    def write(boxes, categories=("a", "b"), **fields):
        """``boxes``: one (image, box, category id) each."""
        coco = {
            "images": [
                {"id": i, "file_name": f"{i}.png", "height": 64, "width": 64} for i in range(3)
            ],
            "categories": [{"id": i, "name": name} for i, name in enumerate(categories, 1)],
            "annotations": [
                {"id": i, "image_id": image, "bbox": box, "category_id": category,
                 "area": 1, "iscrowd": 0}
                for i, (image, box, category) in enumerate(boxes, 1)
            ],
        }  # fmt: skip
        path.write_text(json.dumps({**coco, **fields}))
        return path

    register_coco_instances("three", {}, str(path), str(tmp_path))
    yield write
    DatasetCatalog.remove("three")
    MetadataCatalog.remove("three")


@pytest.fixture
def cfg():
    cfg = get_cfg()
    add_onenet_config(cfg)
    cfg.MODEL.OneNet.NUM_CLASSES = 2
    cfg.DATASETS.TRAIN = cfg.DATASETS.TEST = ("three",)
    cfg.INPUT.MIN_SIZE_TRAIN, cfg.INPUT.MIN_SIZE_TEST = (64,), 64
    cfg.DATALOADER.NUM_WORKERS = 0
    cfg.SOLVER.IMS_PER_BATCH = 2
    return cfg


def test_batches_for_training_and_testing(dataset, cfg):
    dataset([(i, BOX, 1 + i % 2) for i in range(3)])
    batch = next(iter(build_train_loader(cfg)))
    assert len(batch) == 2
    assert all(len(sample["instances"]) == 1 for sample in batch)
    tested = [sample["image_id"] for batch in build_test_loader(cfg, "three") for sample in batch]
    assert tested == [0, 1, 2]


def test_images_left_without_boxes_are_filtered_where_asked(dataset, cfg, caplog):
    dataset([(0, BOX, 1), (1, [70, 70, 5, 5], 1)])
    with caplog.at_level(logging.WARNING):
        assert [r["image_id"] for r in load_train_dicts(cfg)] == [0]
    assert "1 of 2 boxes" in caplog.text
    cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS = False
    assert [r["image_id"] for r in load_train_dicts(cfg)] == [0, 1, 2]


@pytest.mark.parametrize("only_with_objects", [True, False])
@pytest.mark.parametrize("case", ["no annotations", "all crowd", "all empty"])
def test_nothing_to_train_on(dataset, cfg, case, only_with_objects):
    cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS = only_with_objects
    box = [70, 70, 5, 5] if case == "all empty" else BOX
    path = dataset([] if case == "no annotations" else [(i, box, 1) for i in range(3)])
    if case == "all crowd":
        path.write_text(path.read_text().replace('"iscrowd": 0', '"iscrowd": 1'))
    with pytest.raises(UserError, match="three.*no image with a box.*3 images") as caught:
        load_train_dicts(cfg)
    assert "\n" not in str(caught.value)


def test_a_class_that_the_model_lacks(dataset, cfg):
    dataset([(0, BOX, 3)], categories=("a", "b", "c"))
    with pytest.raises(UserError, match='"three".*0.png.*category_id is 2, must be 0 to 1'):
        build_train_loader(cfg)


def test_a_category_that_the_file_lacks(dataset, cfg):
    path = dataset([(0, BOX, 7)])
    with pytest.raises(UserError, match='"three" cannot be read') as caught:
        load_train_dicts(cfg)
    assert str(path) in str(caught.value) and "7" in str(caught.value)


def test_an_annotation_file_that_is_no_json(dataset, cfg):
    path = dataset([])
    path.write_text('{"images": [')
    with pytest.raises(UserError, match="annotations.json.*is not JSON"):
        load_train_dicts(cfg)


@pytest.mark.parametrize("build", [build_train_loader, lambda cfg: build_test_loader(cfg, "none")])
def test_unknown_datasets(cfg, build):
    cfg.DATASETS.TRAIN = ("none",)
    with pytest.raises(ConfigError, match='unknown dataset "none"'):
        build(cfg)


def test_missing_annotation_file(dataset, cfg):
    with pytest.raises(UserError, match="annotations.json.*is missing"):
        build_train_loader(cfg)


def test_ignore_regions_are_kept_where_asked(dataset, cfg):
    path = dataset([(i, BOX, 1) for i in range(3)] + [(i, [30, 30, 8, 8], 1) for i in range(3)])
    coco = json.loads(path.read_text())
    for annotation in coco["annotations"][3:]:
        annotation["iscrowd"] = 1
    path.write_text(json.dumps(coco))
    for wanted in (False, True):
        cfg.MODEL.OneNet.IGNORE_REGIONS = wanted
        for sample in next(iter(build_train_loader(cfg))):
            assert len(sample["instances"]) == 1
            assert ("ignore_boxes" in sample) == wanted
            assert not wanted or len(sample["ignore_boxes"]) == 1


def test_a_loader_begins_where_it_is_told_to(dataset, cfg):
    dataset([(i, BOX, 1 + i % 2) for i in range(3)])
    cfg.SEED, cfg.INPUT.MIN_SIZE_TRAIN = 3, (32, 48, 64)
    loader = build_train_loader(cfg)
    whole = list(islice(loader, 6))
    loader.start_at(4)
    for batch, expected in zip(islice(loader, 2), whole[4:], strict=True):
        for sample, same in zip(batch, expected, strict=True):
            assert sample["image_id"] == same["image_id"]
            assert torch.equal(sample["image"], same["image"])


def test_without_a_seed_each_loader_has_its_own_order(dataset, cfg):
    dataset([(i, BOX, 1) for i in range(3)])
    cfg.SEED = -1

    def order():
        batches = islice(build_train_loader(cfg), 8)
        return tuple(sample["image_id"] for batch in batches for sample in batch)

    assert len({order() for _ in range(4)}) > 1


def test_wide_and_tall_images_are_not_mixed(dataset, cfg):
    dataset([(i, BOX, 1) for i in range(3)])
    records = load_train_dicts(cfg)
    records[0]["width"] = 65
    assert group_by_aspect(records) == [1, 0, 0]


def test_frequent_classes_can_be_sampled_less_often(dataset, cfg):
    dataset([(0, BOX, 1), (1, BOX, 1), (2, BOX, 2)])
    cfg.SEED = 0
    cfg.DATALOADER.SAMPLER_TRAIN = "RepeatFactorTrainingSampler"
    cfg.DATALOADER.REPEAT_THRESHOLD = 1.0
    batches = islice(build_train_loader(cfg), 60)
    ids = [sample["image_id"] for batch in batches for sample in batch]
    assert ids.count(2) > ids.count(0)


def test_an_unknown_sampler(dataset, cfg):
    dataset([(0, BOX, 1)])
    cfg.DATALOADER.SAMPLER_TRAIN = "TrainingSampeler"
    with pytest.raises(ConfigError, match='TrainingSampeler.*Did you mean "TrainingSampler"'):
        build_train_loader(cfg)


def test_one_size_for_all_of_a_batch(dataset, cfg):
    dataset([(i, BOX, 1) for i in range(3)])
    cfg.SEED, cfg.INPUT.MIN_SIZE_TRAIN = 3, (32, 48, 64)

    def sizes():
        batches = islice(build_train_loader(cfg), 12)
        return [{sample["image"].shape[-1] for sample in batch} for batch in batches]

    assert max(map(len, sizes())) > 1
    cfg.INPUT.ONE_SIZE_PER_BATCH = True
    assert set(map(len, sizes())) == {1}
    assert set.union(*sizes()) == {32, 48, 64}


def test_one_size_for_a_batch_is_one_of_a_list(cfg):
    cfg.INPUT.ONE_SIZE_PER_BATCH, cfg.INPUT.MIN_SIZE_TRAIN_SAMPLING = True, "range"
    with pytest.raises(ConfigError, match='MIN_SIZE_TRAIN_SAMPLING is "range"'):
        check_loader(cfg)


@pytest.mark.parametrize(("device", "pinned"), [("cpu", False), ("cuda", True), ("cuda:1", True)])
def test_images_for_a_gpu_are_read_into_pinned_memory(dataset, cfg, monkeypatch, device, pinned):
    dataset([(i, BOX, 1) for i in range(3)])
    options = {}
    monkeypatch.setattr(loader, "DataLoader", lambda dataset, **x: options.update(x) or [])
    cfg.MODEL.DEVICE = device
    list(build_train_loader(cfg))
    assert options["pin_memory"] == pinned
