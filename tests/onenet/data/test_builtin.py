import os
import subprocess
import sys

import onenet
import pytest
from onenet.data import builtin, check_datasets_available, register_digits

# isort: split
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import COCOEvaluator
from detectron2.structures import BoxMode


@pytest.fixture
def registered(tmp_path, tiny_spec, monkeypatch):
    """Tiny datasets in the catalogs, taken out again at the end."""
    monkeypatch.setattr(builtin, "SPECS", (tiny_spec,))
    register_digits(tmp_path)
    yield tmp_path
    for split in tiny_spec.scenes:
        DatasetCatalog.remove(f"tiny_{split}")
        MetadataCatalog.remove(f"tiny_{split}")


def test_importing_the_package_registers():
    assert {
        "digits_train", "digits_val", "digits_crowd_train", "digits_crowd_val",
    } <= set(DatasetCatalog.list())  # fmt: skip


def test_shipped_metadata():
    metadata = MetadataCatalog.get("digits_val")
    assert metadata.evaluator_type == "coco"
    assert metadata.thing_classes == [str(i) for i in range(10)]
    assert metadata.thing_dataset_id_to_contiguous_id == {i + 1: i for i in range(10)}
    assert metadata.json_file.endswith(os.path.join("digits", "annotations", "digits_val.json"))
    assert metadata.image_root.endswith(os.path.join("digits", "val"))


def test_reading_makes_the_data_and_registering_does_not(registered, tiny_spec):
    assert not list(registered.iterdir())
    records = DatasetCatalog.get("tiny_train")
    assert len(records) == tiny_spec.scenes["train"]
    for record in records:
        assert os.path.exists(record["file_name"])
        assert (record["height"], record["width"]) == (96, 96)
        for annotation in record["annotations"]:
            assert annotation["bbox_mode"] == BoxMode.XYWH_ABS
            assert 0 <= annotation["category_id"] < 10


def test_a_name_that_is_taken_stays(registered, caplog, tmp_path):
    metadata = MetadataCatalog.get("tiny_train").as_dict()
    with caplog.at_level("WARNING"):
        register_digits(tmp_path / "elsewhere")
    assert MetadataCatalog.get("tiny_train").as_dict() == metadata
    assert 'Dataset "tiny_train" was registered before' in caplog.text


@pytest.mark.parametrize("name", ["CrowdHuman_train", "digits_val"])
def test_the_package_can_be_imported_after_a_dataset_of_that_name(name):
    script = f"""
import onenet.compat
from detectron2.data import DatasetCatalog, MetadataCatalog
DatasetCatalog.register({name!r}, lambda: ["mine"])
MetadataCatalog.get({name!r}).thing_classes = ["mine"]
import onenet.data
assert DatasetCatalog.get({name!r}) == ["mine"]
assert MetadataCatalog.get({name!r}).thing_classes == ["mine"]
assert "digits_train" in DatasetCatalog.list()
"""
    # The package itself would register them: its parts that come first are imported on their own.
    stub = f"import sys, types; p = types.ModuleType('onenet'); p.__path__ = {onenet.__path__!r}"
    run = [sys.executable, "-c", f"{stub}; sys.modules['onenet'] = p\n{script}"]
    done = subprocess.run(run, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f'Dataset "{name}" was registered before' in done.stderr


def test_evaluator_before_loader(registered):
    """COCOEvaluator opens ``json_file`` itself; the check at the start has made it by then."""
    check_datasets_available(["tiny_val"])
    evaluator = COCOEvaluator("tiny_val", distributed=False, use_fast_impl=False)
    assert len(evaluator._coco_api.imgs) == 2
