import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onenet
import pytest
from onenet.data.digits.glyphs import INK_THRESHOLD, load_pool
from onenet.data.digits.scenes import CROWD, DIGITS, DigitsScene, SceneStyle, compose_scene
from pycocotools import mask

SCENES = 12


def compose(seed: int, style: SceneStyle = DIGITS, split: str = "train") -> DigitsScene:
    return compose_scene(np.random.default_rng(seed), load_pool(split), style)


@pytest.fixture(scope="module", params=[DIGITS, CROWD], ids=["digits", "crowd"])
def style(request):
    return request.param


@pytest.fixture(scope="module")
def scenes(style):
    return [compose(seed, style) for seed in range(SCENES)]


def digest(*scenes: DigitsScene) -> str:
    content = [(s.image.tobytes(), [(d.label, d.box) for d in s.digits]) for s in scenes]
    return hashlib.sha256(repr(content).encode()).hexdigest()


# Without the package's __init__, which imports Detectron2 and takes seconds.
IN_ANOTHER_PROCESS = """
import sys, types
for name, folder in (("onenet", {package!r}), ("onenet.data", {package!r} + "/data")):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [folder]
sys.path.insert(0, {tests!r})
from test_scenes import CROWD, compose, digest
print(digest(compose(3), compose(4, split="val"), compose(0, CROWD)))
"""


def test_scenes_are_the_same_in_every_process():
    program = IN_ANOTHER_PROCESS.format(
        package=str(Path(onenet.__file__).parent), tests=str(Path(__file__).parent)
    )
    other = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
    )
    here = digest(compose(3), compose(4, split="val"), compose(0, CROWD))
    assert other.stdout.strip() == here, other.stderr


def test_different_seeds_and_splits_give_different_scenes():
    assert not np.array_equal(compose(0).image, compose(1).image)
    assert not np.array_equal(compose(0).image, compose(0, split="val").image)


def test_image_and_number_of_digits(scenes, style):
    for scene in scenes:
        assert scene.image.shape == (style.size, style.size, 3)
        assert scene.image.dtype == np.uint8
        assert style.count[0] <= len(scene.digits) <= style.count[1]


def test_boxes_are_inside_and_of_the_right_height(scenes, style):
    for digit in (d for scene in scenes for d in scene.digits):
        x1, y1, x2, y2 = digit.box
        assert 0 <= x1 < x2 <= style.size and 0 <= y1 < y2 <= style.size
        assert style.height[0] <= y2 - y1 <= style.height[1]


def test_boxes_are_tight(scenes):
    for digit in (d for scene in scenes for d in scene.digits):
        ink = digit.alpha >= INK_THRESHOLD
        assert ink[0].any() and ink[-1].any() and ink[:, 0].any() and ink[:, -1].any()


def test_overlap_is_bounded_and_every_digit_remains_visible(scenes, style):
    for scene in scenes:
        boxes = np.array([d.box for d in scene.digits], dtype=float)
        boxes[:, 2:] -= boxes[:, :2]
        iou = mask.iou(boxes, boxes, [0] * len(boxes))
        np.fill_diagonal(iou, 0)
        assert iou.max() <= style.max_iou + 1e-9
        for digit in scene.digits:
            assert digit.visible.sum() >= style.min_visible * digit.alpha.sum()


def test_visible_ink_is_what_later_digits_leave():
    for scene in (compose(seed, CROWD) for seed in range(3)):
        for index, digit in enumerate(scene.digits):
            canvas = np.ones((CROWD.size, CROWD.size))
            for later in scene.digits[index + 1 :]:
                x1, y1, x2, y2 = later.box
                canvas[y1:y2, x1:x2] *= 1 - later.alpha
            x1, y1, x2, y2 = digit.box
            assert np.allclose(digit.visible, digit.alpha * canvas[y1:y2, x1:x2], atol=1e-5)


def test_there_are_overlapping_neighbours_of_the_same_class():
    pairs = 0
    for scene in (compose(seed) for seed in range(20)):
        for i, first in enumerate(scene.digits):
            for second in scene.digits[i + 1 :]:
                (ax1, ay1, ax2, ay2), (bx1, by1, bx2, by2) = first.box, second.box
                touching = ax1 < bx2 and bx1 < ax2 and ay1 < by2 and by1 < ay2
                if touching and first.label == second.label:
                    pairs += 1
                    assert first.alpha.shape != second.alpha.shape or not np.array_equal(
                        first.alpha, second.alpha
                    )
    assert pairs >= 5


def test_ink_stands_out_from_the_paper(scenes):
    """The luminance in the ink differs from the one around it, seen over all digits."""
    steps = []
    for scene in scenes:
        grey = scene.image.mean(axis=2)
        for digit in scene.digits:
            x1, y1, x2, y2 = digit.box
            window, ink = grey[y1:y2, x1:x2], digit.visible > 0.9
            if ink.any() and (digit.alpha < 0.1).any():
                steps.append(abs(window[ink].mean() - window[digit.alpha < 0.1].mean()))
    assert np.median(steps) > 25


def test_too_many_digits_for_the_canvas_is_an_error():
    with pytest.raises(RuntimeError, match="at least 8"):
        compose(0, replace(DIGITS, size=60, count=(8, 8), height=(40, 56)))
