"""Augmentation by keys: pixels and boxes move together."""

import numpy as np
import onenet  # noqa: F401  (makes Detectron2 importable, so it comes first)
import pytest

# isort: split
from detectron2.config import get_cfg
from detectron2.data import transforms as T
from detectron2.utils.env import seed_all_rng
from onenet.config import add_onenet_config
from onenet.data.augmentation import build_augmentations
from onenet.data.loader import check_loader
from onenet.errors import ConfigError

SIZE = (60, 90)  # height, width
BOX = [20, 10, 50, 30]


def make_cfg(*options):
    cfg = get_cfg()
    add_onenet_config(cfg)
    cfg.merge_from_list(["INPUT.MIN_SIZE_TRAIN", (60,), "INPUT.RANDOM_FLIP", "none", *options])
    return cfg


def augment(image, *options, count=60, is_train=True):
    """``count`` results: image, and where ``BOX`` has gone."""
    seed_all_rng(0)
    augmentations = T.AugmentationList(build_augmentations(make_cfg(*options), is_train))
    for _ in range(count):
        augmented = T.AugInput(image.copy(), boxes=np.array([BOX], float))
        augmentations(augmented)
        yield augmented.image, augmented.boxes[0]


def noise():
    return np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)


def distinct(images):
    return {image.tobytes(): image for image in images}.values()


def test_nothing_is_done_by_default():
    image = noise()
    assert all(np.array_equal(one, image) for one, _ in augment(image, count=20))
    cfg = make_cfg("INPUT.RANDOM_FLIP", "horizontal")
    assert [type(one).__name__ for one in build_augmentations(cfg, True)] == [
        "ResizeShortestEdge", "RandomFlip",
    ]  # fmt: skip


def test_evaluation_is_not_augmented():
    options = ["INPUT.RANDOM_FLIP", "both", "INPUT.RANDOM_TURN", True, "INPUT.RANDOM_COLOR", 0.5]
    options += ["INPUT.RANDOM_SCALE", [0.5, 2.0], "INPUT.MIN_SIZE_TEST", 60]
    image = noise()
    results = augment(image, *options, count=20, is_train=False)
    assert all(np.array_equal(one, image) for one, _ in results)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("horizontal", [(1, 1), (1, -1)]),
        ("vertical", [(1, 1), (-1, 1)]),
        ("both", [(1, 1), (1, -1), (-1, 1), (-1, -1)]),
    ],
)
def test_flips(name, expected):
    image = noise()
    seen = distinct(one for one, _ in augment(image, "INPUT.RANDOM_FLIP", name))
    wanted = distinct(image[::y, ::x] for y, x in expected)
    assert {one.tobytes() for one in seen} == {one.tobytes() for one in wanted}


def test_quarter_turns_keep_every_pixel():
    image = noise()
    seen = distinct(one for one, _ in augment(image, "INPUT.RANDOM_TURN", True))
    wanted = distinct(np.rot90(image, turns) for turns in range(4))
    assert {(one.shape, one.tobytes()) for one in seen} == {
        (one.shape, one.tobytes()) for one in wanted
    }


@pytest.mark.parametrize(
    "options",
    [
        ("INPUT.RANDOM_FLIP", "both", "INPUT.RANDOM_TURN", True),
        ("INPUT.RANDOM_SCALE", [0.5, 2.0]),
        ("INPUT.RANDOM_SCALE", [0.5, 2.0], "INPUT.RANDOM_FLIP", "both", "INPUT.RANDOM_TURN", True),
    ],
)
def test_boxes_follow_their_pixels(options):
    image = np.zeros((*SIZE, 3), np.uint8)
    image[BOX[1] : BOX[3], BOX[0] : BOX[2]] = 255
    whole = 0
    for one, box in augment(image, *options):
        ys, xs = np.nonzero(one[..., 0] > 180)  # brighter than what is filled in
        if not len(ys):
            continue
        seen = np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])
        height, width = one.shape[:2]
        clipped = np.clip(box, 0, [width, height, width, height])
        np.testing.assert_allclose(seen, clipped, atol=1.5)
        whole += np.array_equal(box, clipped)
    assert whole > 10


def test_scale_keeps_the_size_and_covers_its_range():
    factors, corners = [], []
    for one, (x1, y1, x2, y2) in augment(noise(), "INPUT.RANDOM_SCALE", [0.5, 2.0], count=200):
        assert one.shape == (*SIZE, 3)
        factors.append((x2 - x1) / (BOX[2] - BOX[0]))
        assert (y2 - y1) / (BOX[3] - BOX[1]) == pytest.approx(factors[-1], abs=0.05)
        corners.append((x1 - BOX[0] * factors[-1], y1 - BOX[1] * factors[-1]))
    assert min(factors) < 0.6 and max(factors) > 1.9
    assert min(factors) > 0.45 and max(factors) < 2.05
    moved = np.array([at for at, factor in zip(corners, factors, strict=True) if factor > 1.5])
    assert abs(np.corrcoef(moved.T)[0, 1]) < 0.6  # crops are not on the diagonal only


def test_colour_changes_pixels_and_no_box():
    means, greys = set(), set()
    image = noise()
    for one, box in augment(image, "INPUT.RANDOM_COLOR", 0.4):
        assert one.dtype == np.uint8 and box.tolist() == BOX
        means.add(one.mean())
        greys.add(float((one.max(2).astype(int) - one.min(2)).mean()))
    assert len(means) > 30 and max(means) > image.mean() > min(means)
    assert max(greys) > min(greys) * 1.5


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("RANDOM_FLIP", "bot", 'INPUT.RANDOM_FLIP: unknown name "bot". Did you mean "both"'),
        ("RANDOM_COLOR", 1.0, "INPUT.RANDOM_COLOR must be from 0"),
        ("RANDOM_COLOR", -0.1, "INPUT.RANDOM_COLOR must be from 0"),
        ("RANDOM_SCALE", [2.0, 0.5], r"INPUT.RANDOM_SCALE .*got \[2.0, 0.5\]"),
        ("RANDOM_SCALE", [0.0, 1.0], "INPUT.RANDOM_SCALE"),
        ("RANDOM_SCALE", [1.0], "INPUT.RANDOM_SCALE"),
    ],
)
def test_mistakes_are_told_before_training(key, value, message):
    cfg = make_cfg(f"INPUT.{key}", value)
    for check in (check_loader, lambda cfg: build_augmentations(cfg, True)):
        with pytest.raises(ConfigError, match=message):
            check(cfg)


def test_colour_of_grey_images():
    cfg = make_cfg("INPUT.RANDOM_COLOR", 0.2, "MODEL.PIXEL_MEAN", [127.0])
    with pytest.raises(ConfigError, match="RANDOM_COLOR 0.2 is for images of three channels"):
        check_loader(cfg)
