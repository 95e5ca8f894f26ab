import json

import numpy as np
import pytest
from onenet.data.coco.tile_dataset import Tiling, tile_dataset
from onenet.errors import UserError
from onenet.images import read_image
from PIL import ExifTags, Image

TILING = Tiling(size=40, overlap=10, min_share=0.5)
CATEGORIES = [
    {"id": 7, "name": "ship", "supercategory": "vessel"},
    {"id": 2, "name": "buoy", "supercategory": "mark"},
]
# Starts of the tiles of a picture of 70 x 40: x = 0 and 30.
BOXES = [
    {"category_id": 7, "bbox": [32, 5, 6, 6]},  # in both tiles
    {"category_id": 2, "bbox": [26, 20, 8, 8], "area": 32},  # whole in the first, half in the other
    {"category_id": 2, "bbox": [60, 30, 40, 8]},  # of what is in the picture, all is in the second
]


@pytest.fixture
def large(tmp_path):
    """A dataset of two pictures: its json file and the folder of its images."""
    random = np.random.default_rng(0)
    (tmp_path / "large" / "a").mkdir(parents=True)
    exif = Image.Exif()
    for name, shape in (("a/sea.png", (40, 70, 3)), ("land.png", (70, 40, 3))):
        pixels = random.integers(0, 256, shape, dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "large" / name, exif=exif)
        exif[ExifTags.Base.Orientation] = 6  # the second lies on its side
    coco = {
        "info": {"year": 2020},
        "images": [
            {"id": "y", "file_name": "land.png", "width": 70, "height": 40},
            {"id": "x", "file_name": "a/sea.png", "width": 70, "height": 40},
        ],
        "annotations": [{"image_id": "x", **box} for box in BOXES],
        "categories": CATEGORIES,
    }
    path = tmp_path / "large.json"
    path.write_text(json.dumps(coco))
    return path, tmp_path / "large"


def change(path, section, position, **fields):
    content = json.loads(path.read_text())
    content[section][position].update(fields)
    path.write_text(json.dumps(content))


def test_tiles_and_their_annotations(large, tmp_path):
    tiles = tile_dataset(*large, tmp_path / "tiles", TILING)
    assert json.loads((tmp_path / "tiles" / "annotations.json").read_text()) == tiles
    assert (tiles["categories"], tiles["info"]) == (CATEGORIES, {"year": 2020})
    first, second, *empty = tiles["images"]
    assert [(one["source"], one["offset"]) for one in tiles["images"]] == [
        ("a/sea.png", [0, 0]), ("a/sea.png", [30, 0]), ("land.png", [0, 0]), ("land.png", [30, 0]),
    ]  # fmt: skip
    found = [(a["image_id"], a["category_id"], a["bbox"], a["area"]) for a in tiles["annotations"]]
    assert found == [
        (first["id"], 7, [32, 5, 6, 6], 36),
        (first["id"], 2, [26, 20, 8, 8], 32),
        (second["id"], 7, [2, 5, 6, 6], 36),
        (second["id"], 2, [0, 20, 4, 8], 16),
        (second["id"], 2, [30, 30, 10, 8], 80),
    ]
    assert len({one["id"] for one in tiles["annotations"]}) == len(found)


def test_pixels_are_those_of_the_picture(large, tmp_path):
    tiles = tile_dataset(*large, tmp_path / "tiles", TILING)
    for one in tiles["images"]:
        picture, (x, y) = read_image(large[1] / one["source"]), one["offset"]
        tile = read_image(tmp_path / "tiles" / "images" / one["file_name"])
        assert tile.shape[:2] == (one["height"], one["width"]) == (40, 40)
        assert np.array_equal(tile, picture[y : y + 40, x : x + 40])


def test_empty_tiles_may_be_dropped(large, tmp_path):
    tiling = Tiling(size=40, overlap=10, min_share=0.5, keep_empty=False)
    tiles = tile_dataset(*large, tmp_path / "tiles", tiling)
    assert [one["source"] for one in tiles["images"]] == ["a/sea.png"] * 2
    assert len(list((tmp_path / "tiles" / "images").iterdir())) == 2


def test_pictures_of_one_name_do_not_meet(large, tmp_path):
    path, images = large
    (images / "land.png").rename(images / "sea.png")
    change(path, "images", 0, file_name="sea.png")
    tiles = tile_dataset(path, images, tmp_path / "tiles", TILING)
    assert len({one["file_name"] for one in tiles["images"]}) == 4


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (lambda path, images: path.unlink(), "cannot read the annotations"),
        (lambda path, images: path.write_text("{"), "it is not JSON"),
        (lambda path, images: (images / "land.png").unlink(), "1 of 2 images are missing"),
        (lambda path, images: (images / "land.png").write_bytes(b"x"), "land.png"),
        (
            lambda path, images: change(path, "images", 0, width=71),
            "70 x 40 pixels, .* say 71 x 40 pixels",
        ),
        (lambda path, images: change(path, "annotations", 0, image_id=5), "image_id 5"),
    ],
)
def test_a_broken_input_is_named_in_one_line_and_nothing_is_left(large, tmp_path, broken, message):
    broken(*large)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(UserError, match=message) as caught:
        tile_dataset(*large, tmp_path / "tiles", TILING)
    assert "\n" not in str(caught.value)
    assert sorted(tmp_path.iterdir()) == before


def test_no_tile_is_left(large, tmp_path):
    path, images = large
    path.write_text(json.dumps({**json.loads(path.read_text()), "annotations": []}))
    with pytest.raises(UserError, match="no tile"):
        tile_dataset(path, images, tmp_path / "tiles", Tiling(keep_empty=False))


def test_a_folder_that_is_there_is_not_touched(large, tmp_path):
    precious = tmp_path / "tiles" / "precious.txt"
    precious.parent.mkdir()
    precious.touch()
    with pytest.raises(UserError, match="there already"):
        tile_dataset(*large, tmp_path / "tiles", TILING)
    assert list(precious.parent.iterdir()) == [precious]


def test_a_folder_that_cannot_be_written_is_one_line(large, tmp_path):
    with pytest.raises(UserError, match="cannot write") as caught:
        tile_dataset(*large, large[0] / "tiles", TILING)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 50, "overlap": 50}, "overlap of tiles is 50 .* below their size, 50"),
        ({"overlap": -1}, "overlap of tiles is -1"),
        ({"min_share": 1.5}, "is 1.5, must be from 0 to 1"),
        ({"min_share": float("nan")}, "is nan"),
    ],
)
def test_a_tiling_that_cannot_be(settings, message):
    with pytest.raises(UserError, match=message):
        Tiling(**settings)
