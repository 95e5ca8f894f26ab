import logging

import numpy as np
import pytest
from onenet.data import check_datasets_available, check_num_classes, sanitize_annotations
from onenet.errors import ConfigError, UserError

# isort: split
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import BoxMode


@pytest.fixture
def register():
    """Put a dataset into the catalogs for the length of a test."""
    names = []

    def add(name, records=(), **metadata):
        DatasetCatalog.register(name, lambda: list(records))
        MetadataCatalog.get(name).set(**metadata)
        names.append(name)

    yield add
    for name in names:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


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


def test_unknown_dataset_is_refused_with_the_nearest_name():
    with pytest.raises(ConfigError) as caught:
        check_datasets_available(["digit_val"])
    assert '"digit_val"' in message(caught) and '"digits_val"' in message(caught)


@pytest.mark.parametrize("missing", ["json_file", "image_root"])
def test_missing_files_are_named_with_the_remedy(tmp_path, register, monkeypatch, missing):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    paths = {"json_file": tmp_path / "a.json", "image_root": tmp_path / "images"}
    paths["json_file"].touch()
    paths["image_root"].mkdir()
    paths[missing] = tmp_path / "elsewhere"
    register("some_set", **{key: str(path) for key, path in paths.items()})
    with pytest.raises(UserError) as caught:
        check_datasets_available(["some_set"])
    for part in ('"some_set"', str(paths[missing]), "DETECTRON2_DATASETS", str(tmp_path)):
        assert part in message(caught)


def test_present_and_fileless_datasets_pass(tmp_path, register):
    register("no_files")
    register("with_root", image_root=str(tmp_path))
    check_datasets_available(["no_files", "with_root"])


def test_number_of_classes_must_agree(register):
    register("three", thing_classes=["cat", "dog", "cow"])
    register("untold")
    check_num_classes(["three", "untold"], 3)
    with pytest.raises(ConfigError) as caught:
        check_num_classes(["three"], 80)
    assert all(part in message(caught) for part in ("80", '"three"', "3 classes", "cat"))


def test_good_annotations_are_untouched_and_silent(caplog):
    records = [record(((0, 0, 200, 100), BoxMode.XYXY_ABS, 0), ((5, 5, 9, 9), BoxMode.XYWH_ABS, 1))]
    before = repr(records)
    assert sanitize_annotations(records, "set", 2) is records
    assert repr(records) == before
    assert not caplog.records


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
def test_boxes_of_nothing_are_dropped_and_counted_once(box, caplog):
    good = ((10, 10, 20, 20), BoxMode.XYWH_ABS, 0)
    bad = (box, BoxMode.XYWH_ABS, 0)
    records = [record(good), record(bad, good, bad, file_name="b.png"), record(bad)]
    with caplog.at_level(logging.WARNING):
        sanitize_annotations(records, "my_set", 1)
    assert [len(r["annotations"]) for r in records] == [1, 1, 0]
    assert all(a["bbox"] == [10, 10, 20, 20] for r in records for a in r["annotations"])
    (warning,) = [r.getMessage() for r in caplog.records]
    assert "3 of 5 boxes" in warning and '"my_set"' in warning and '"b.png"' in warning


def test_boxes_that_leave_the_image_are_clipped_and_counted(caplog):
    records = [
        record(
            ((-10, 20, 50, 40), BoxMode.XYXY_ABS, 0),
            ((180, 90, 40, 40), BoxMode.XYWH_ABS, 0),
            ((10.0, 10.0, 200.5, 50.0), BoxMode.XYXY_ABS, 0),  # rounding, not a mistake
        )
    ]
    with caplog.at_level(logging.WARNING):
        sanitize_annotations(records, "set", 1)
    boxes = [
        BoxMode.convert(a["bbox"], a["bbox_mode"], BoxMode.XYXY_ABS)
        for a in records[0]["annotations"]
    ]
    expected = [[0, 20, 50, 40], [180, 90, 200, 100], [10, 10, 200.5, 50]]
    assert np.array(boxes).tolist() == expected
    (warning,) = [r.getMessage() for r in caplog.records]
    assert "2 of 3 boxes" in warning and "clipped" in warning


@pytest.mark.parametrize("label", [-1, 10])
def test_class_out_of_range_names_dataset_annotation_and_range(label):
    box = (10, 10, 20, 20)
    records = [record((box, BoxMode.XYWH_ABS, 9), (box, BoxMode.XYWH_ABS, label))]
    with pytest.raises(UserError) as caught:
        sanitize_annotations(records, "my_set", 10)
    for part in ('"my_set"', '"a.png"', "annotation 1", str(label), "0 to 9"):
        assert part in message(caught)


def test_a_box_without_four_numbers_is_named():
    records = [record(((1, 2, 3), BoxMode.XYWH_ABS, 0))]
    with pytest.raises(UserError) as caught:
        sanitize_annotations(records, "my_set", 1)
    assert '"my_set"' in message(caught) and "[1, 2, 3]" in message(caught)


def test_no_annotations_at_all():
    assert sanitize_annotations([record()], "set", 1)[0]["annotations"] == []
    assert sanitize_annotations([], "set", 1) == []
