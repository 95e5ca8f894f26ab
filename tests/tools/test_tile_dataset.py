import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]


@pytest.fixture
def tile(tmp_path):
    """Run the program on a picture of 90 x 40 with a box and a crowd region in one corner."""
    (tmp_path / "images").mkdir()
    Image.new("RGB", (90, 40), "green").save(tmp_path / "images" / "1.png")
    boxes = [{"bbox": [2, 3, 10, 10]}, {"bbox": [0, 0, 20, 20], "iscrowd": 1}]
    coco = {
        "images": [{"id": 1, "file_name": "1.png", "width": 90, "height": 40}],
        "annotations": [{"image_id": 1, "category_id": 1, **box} for box in boxes],
        "categories": [{"id": 1, "name": "tree"}],
    }
    (tmp_path / "all.json").write_text(json.dumps(coco))

    def run(*arguments):
        command = [sys.executable, str(ROOT / "tools/tile_dataset.py"), "--annotations", "all.json"]
        command += ["--images", "images", "--output", "out/tiles", "--tile", "50", *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    return run


def test_the_output_can_be_registered(tile, tmp_path):
    done = tile("--overlap", "10")
    assert done.returncode == 0, done.stderr
    counts, register = done.stdout.splitlines()
    assert counts == "out/tiles: 2 tiles, 1 boxes, 1 crowd regions"
    name, annotations, images = json.loads(register.partition(": ")[2])
    for image in json.loads((tmp_path / annotations).read_text())["images"]:
        assert (tmp_path / images / image["file_name"]).is_file()


def test_flags_are_heeded(tile):
    done = tile("--overlap", "0", "--drop-empty")
    assert done.stdout.startswith("out/tiles: 1 tiles, ")


def test_a_mistake_is_one_line(tile):
    done = tile("--overlap", "50")
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and len(done.stderr.splitlines()) == 1
