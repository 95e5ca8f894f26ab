import importlib
import json
import runpy
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from onenet.data import check_datasets_available, ensure_trees, load_records, register_trees
from onenet.data.photographs import build, package
from onenet.data.photographs.whole import ensure_whole, whole_json_file
from onenet.errors import UserError
from PIL import Image

# isort: split
from detectron2.data import DatasetCatalog, MetadataCatalog

SIZE = 420, 400  # of a made photograph: two tiles
BOX = (
    "<object><bndbox><xmin>{}</xmin><ymin>5</ymin><xmax>{}</xmax><ymax>25</ymax></bndbox></object>"
)
VOC = "<annotation><size><width>420</width><height>400</height></size>{}</annotation>"


def photographs():
    return [name for names in build.PHOTOGRAPHS.values() for name in names]


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """A package with small photographs of one box each, which cannot be imported."""
    folder = tmp_path / "site" / package.PACKAGE
    (folder / "data").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('imported')")
    for number, name in enumerate(photographs()):
        Image.new("RGB", SIZE, (number, 0, 0)).save(folder / "data" / f"{name}.png")
        box = BOX.format(30 * number, 30 * number + 20)
        (folder / "data" / f"{name}.xml").write_text(VOC.format(box))
    monkeypatch.syspath_prepend(tmp_path / "site")
    importlib.invalidate_caches()
    return folder / "data"


@pytest.fixture
def missing(monkeypatch):
    monkeypatch.setattr(package, "PACKAGE", "no_such_package")


@pytest.fixture
def registered(tmp_path, monkeypatch):
    """The datasets in a folder of the test's own, and no others."""
    for catalog in (DatasetCatalog, MetadataCatalog):
        monkeypatch.setattr(catalog, "data", {})
    register_trees(tmp_path / "datasets")
    return tmp_path / "datasets"


def test_importing_the_package_registers():
    assert MetadataCatalog.get("trees_whole_val").thing_classes == ["tree"]
    for split in build.PHOTOGRAPHS:
        metadata = MetadataCatalog.get(f"trees_{split}")
        assert metadata.evaluator_type == "coco"
        assert metadata.thing_classes == ["tree"]
        assert metadata.json_file.endswith(f"trees/annotations/trees_{split}.json")


def test_no_photograph_is_in_both_splits():
    assert len(set(photographs())) == len(photographs())


def test_reading_makes_the_data_and_registering_does_not(stand_in, registered):
    assert not registered.exists()
    records = load_records("trees_val")
    assert len(records) == 2
    (number,) = (i for i, name in enumerate(photographs()) if name in build.PHOTOGRAPHS["val"])
    for record in records:
        pixels = np.asarray(Image.open(record["file_name"]))
        assert (pixels == [number, 0, 0]).all()
        assert [one["category_id"] for one in record["annotations"]] == [0]
    assert len(load_records("trees_train")) == 2 * len(build.PHOTOGRAPHS["train"])
    assert package.PACKAGE not in sys.modules


def test_whole_photographs_are_copied_with_all_their_boxes(stand_in, registered):
    (record,) = load_records("trees_whole_val")
    (name,) = build.PHOTOGRAPHS["val"]
    source = stand_in / f"{name}.png"
    assert Path(record["file_name"]).read_bytes() == source.read_bytes()
    assert (record["width"], record["height"]) == SIZE
    assert len(record["annotations"]) == 1


def test_once_made_they_need_no_package(stand_in, registered, monkeypatch):
    folder = ensure_trees(registered)
    (folder / "marker").touch()
    monkeypatch.setattr(package, "PACKAGE", "no_such_package")
    assert ensure_trees(registered) == folder and (folder / "marker").exists()
    monkeypatch.setattr(build, "VERSION", build.VERSION + 1)
    with pytest.raises(UserError):
        ensure_trees(registered)


def test_without_the_package_one_line_says_what_to_install(missing, registered):
    with pytest.raises(UserError) as caught:
        check_datasets_available(["trees_train"])
    assert package.INSTALL in str(caught.value) and "\n" not in str(caught.value)
    assert not (registered / build.NAME).exists()


@pytest.mark.parametrize("suffix", [".png", ".xml"])
def test_a_package_without_a_file_is_told(stand_in, tmp_path, suffix):
    name = f"{photographs()[-1]}{suffix}"
    (stand_in / name).unlink()
    with pytest.raises(UserError, match=name) as caught:
        ensure_trees(tmp_path)
    assert package.INSTALL in str(caught.value)
    assert not (tmp_path / build.NAME).exists()


@pytest.mark.parametrize("name", ["trees", "trees_whole_val"])
def test_command_line_makes_them_on_request(stand_in, tmp_path, monkeypatch, capsys, name):
    arguments = ["onenet.data", "--output", str(tmp_path), "--only", name]
    monkeypatch.setattr(sys, "argv", arguments)
    runpy.run_module("onenet.data", run_name="__main__")
    assert capsys.readouterr().out == f"{tmp_path / name}\n"


@pytest.mark.skipif(find_spec(package.PACKAGE) is None, reason=f"needs {package.INSTALL}")
def test_the_real_photographs(tmp_path):
    folder = ensure_trees(tmp_path)
    counts = {}
    for split in build.PHOTOGRAPHS:
        tiles = json.loads(build.json_file(folder, split).read_text())
        assert {(one["width"], one["height"]) for one in tiles["images"]} == {(400, 400)}
        counts[split] = len(tiles["images"]), len(tiles["annotations"])
    assert counts == {"train": (44, 799), "val": (12, 422)}
    whole = json.loads(whole_json_file(ensure_whole(tmp_path)).read_text())
    assert (len(whole["images"]), len(whole["annotations"])) == (1, 279)
