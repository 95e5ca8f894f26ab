import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import onenet  # noqa: F401  (makes Detectron2 importable, so it comes first)
import pytest

# isort: split
from assigners import add_assigners_config
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import BoxMode
from onenet.engine import setup_cfg

ROOT = Path(__file__).parents[2]
TOOL = ROOT / "tools" / "visualize_data.py"
DIGITS = ROOT / "configs" / "digits" / "onenet_R18_digits.yaml"

CONFIG = """
MODEL: {OneNet: {NUM_CLASSES: 2}}
DATASETS: {TRAIN: [two_images]}
INPUT: {MIN_SIZE_TRAIN: [64]}
SOLVER: {IMS_PER_BATCH: 2}
"""


@pytest.fixture
def run(monkeypatch):
    """Run the tool in this process."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", [str(TOOL), *map(str, arguments)])
        runpy.run_path(str(TOOL), run_name="__main__")

    return run


@pytest.fixture
def two_images(tmp_path):
    records = []
    for index in range(2):
        path = tmp_path / f"image{index}.png"
        cv2.imwrite(str(path), np.full((64, 64, 3), 90, np.uint8))
        box = {"bbox": [8, 8, 40, 40], "bbox_mode": BoxMode.XYXY_ABS, "category_id": index}
        record = {"file_name": str(path), "image_id": index, "height": 64, "width": 64}
        records.append({**record, "annotations": [box]})
    DatasetCatalog.register("two_images", lambda: records)
    MetadataCatalog.get("two_images").set(thing_classes=["cat", "dog"])
    yield "two_images"
    DatasetCatalog.remove("two_images")
    MetadataCatalog.remove("two_images")


def test_annotations_are_drawn(run, two_images, tmp_path):
    run("--dataset", two_images, "--output-dir", tmp_path / "out", "--scale", 3)
    pictures = sorted((tmp_path / "out").iterdir())
    assert [p.name for p in pictures] == ["image0.png", "image1.png"]
    for path in pictures:
        drawn = cv2.imread(str(path))
        assert drawn.shape == (192, 192, 3)
        assert (drawn != 90).any()


def test_training_samples_are_drawn(run, two_images, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG)
    run("--config-file", config, "--output-dir", tmp_path / "out", "--max-images", 3)
    assert len(list((tmp_path / "out").iterdir())) == 3


def test_augmentation_is_shown(run, two_images, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG)
    keys = ["INPUT.RANDOM_FLIP", "none", "INPUT.RANDOM_COLOR", "0.5", "INPUT.RANDOM_TURN", "True"]
    for name, options in (("plain", keys[:2]), ("augmented", keys)):
        arguments = ["--config-file", config, "--output-dir", tmp_path / name, "--max-images", 8]
        run(*arguments, *options)
    kinds = {
        name: len({path.read_bytes() for path in (tmp_path / name).iterdir()})
        for name in ("plain", "augmented")
    }
    assert kinds == {"plain": 2, "augmented": 8}


def test_the_config_that_a_run_has_saved_is_read(run, two_images, tmp_path):
    """It has the keys of all packages."""
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG)
    saved = setup_cfg(str(config), ["MODEL.DEVICE", "cpu"], add_configs=[add_assigners_config])
    config.write_text(saved.dump())
    run("--config-file", config, "--output-dir", tmp_path / "out", "--max-images", 1)
    assert len(list((tmp_path / "out").iterdir())) == 1


@pytest.mark.parametrize("source", ["--dataset", "--config-file"])
def test_mistakes_are_one_line_and_leave_no_folder(run, tmp_path, capsys, source):
    value = "two_image"
    if source == "--config-file":
        value = tmp_path / "config.yaml"
        value.write_text(CONFIG)  # its dataset is not registered here
    with pytest.raises(SystemExit):
        run(source, value, "--output-dir", tmp_path / "pictures")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith('error: unknown dataset "two_image')
    assert not (tmp_path / "pictures").exists()


def test_nothing_to_train_on_is_told(run, tmp_path, capsys):
    with pytest.raises(SystemExit):
        run("--output-dir", tmp_path, "--config-file", DIGITS, "DATASETS.TRAIN", "()")
    assert "error: DATASETS.TRAIN names no dataset" in capsys.readouterr().err


def test_a_dataset_without_class_names_has_numbers(run, two_images, tmp_path):
    MetadataCatalog.remove(two_images)
    run("--dataset", two_images, "--output-dir", tmp_path / "out")
    first, second = (cv2.imread(str(tmp_path / "out" / f"image{i}.png")) for i in range(2))
    assert (first != second).any()
