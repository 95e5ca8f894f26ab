import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
BOX = {"tag": "person", "fbox": [1, 2, 3, 4], "extra": {"box_id": 0}}
CROWD = {"tag": "mask", "fbox": [9, 9, 9, 9], "extra": {"ignore": 1}}


@pytest.fixture
def folder(tmp_path):
    for split in ("train", "val"):
        images = tmp_path / f"CrowdHuman_{split}"
        images.mkdir()
        Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(images / "1,a.jpg")
        line = json.dumps({"ID": "1,a", "gtboxes": [BOX, CROWD]})
        (tmp_path / f"annotation_{split}.odgt").write_text(line + "\n")
    return tmp_path


def convert(folder, *arguments):
    command = [sys.executable, str(ROOT / "tools/convert_crowdhuman.py"), "--folder", str(folder)]
    return subprocess.run([*command, *arguments], capture_output=True, text=True)


def test_both_splits(folder):
    done = convert(folder)
    assert done.returncode == 0, done.stderr
    for split in ("train", "val"):
        path = folder / "annotations" / f"{split}.json"
        assert f"{path}: 1 images, 1 people, 1 ignore regions" in done.stdout
        assert len(json.loads(path.read_text())["annotations"]) == 2


def test_broken_lines_are_named_and_counted_and_the_rest_is_converted(folder):
    with (folder / "annotation_val.odgt").open("a") as file:
        file.write('{"ID": \n{"ID": "2,b", "gtboxes": []}\n')
    done = convert(folder, "--splits", "val")
    assert done.returncode == 1
    assert "annotation_val.odgt, line 2: no JSON" in done.stderr
    assert 'annotation_val.odgt, line 3: no image "2,b.jpg"' in done.stderr
    assert "2 broken lines were left out" in done.stderr
    assert len(json.loads((folder / "annotations/val.json").read_text())["images"]) == 1
    assert not (folder / "annotations/train.json").exists()


def test_missing_files_are_one_line_before_any_work(folder):
    (folder / "annotation_val.odgt").unlink()
    done = convert(folder)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and len(done.stderr.splitlines()) == 1
    assert "annotation_val.odgt" in done.stderr
    assert not (folder / "annotations").exists()
