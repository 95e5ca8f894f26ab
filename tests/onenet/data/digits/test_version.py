"""Who changes what the generator draws must raise its version, or old data stay in use."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onenet.data.digits import build, glyphs, scenes
from onenet.data.digits.build import FIRST_SEED, SPECS, VERSION
from onenet.data.digits.glyphs import load_pool
from onenet.data.digits.scenes import compose_scene

CONTENT = Path(__file__).parents[3] / "golden" / "digits_content.json"
SCENES = 2  # of each split
BLOCKS = 4  # an image is told by the mean colours of BLOCKS x BLOCKS parts
# OpenCV rounds otherwise on another processor: a pixel by one grey level, an edge by one pixel.
MEAN_TOLERANCE, BOX_TOLERANCE = 0.1, 1


def describe(spec, split, index):
    """A scene as numbers that are the same on every processor, but for rounding."""
    pool = load_pool(split)
    scene = compose_scene(np.random.default_rng(FIRST_SEED[split] + index), pool, spec.style)
    side = spec.style.size // BLOCKS
    means = scene.image.reshape(BLOCKS, side, BLOCKS, side, 3).mean(axis=(1, 3), dtype=np.float64)
    return {
        "scene": f"{spec.name}_{split} {index}",
        "digits": [[int(pool.indices[d.source]), int(d.label)] for d in scene.digits],
        "boxes": [list(map(int, d.box)) for d in scene.digits],
        "means": means.round(2).tolist(),
    }


def content(specs=SPECS):
    return [
        describe(spec, split, i) for spec in specs for split in spec.scenes for i in range(SCENES)
    ]


def same(now, before):
    return len(now) == len(before) and all(
        a["scene"] == b["scene"]
        and a["digits"] == b["digits"]
        and np.abs(np.subtract(a["boxes"], b["boxes"])).max() <= BOX_TOLERANCE
        and np.abs(np.subtract(a["means"], b["means"])).max() <= MEAN_TOLERANCE
        for a, b in zip(now, before, strict=True)
    )


def test_the_version_has_this_content():
    known = json.loads(CONTENT.read_text())
    assert known["version"] == VERSION, (
        "write the content of this version with: python tests/onenet/data/test_version.py"
    )
    assert same(content(), known["scenes"]), (
        "the generator draws something else: raise VERSION in onenet/data/digits/build.py"
    )


@pytest.mark.parametrize(
    ("module", "name", "factor"),
    [
        (glyphs, "SMOOTHING", 1.1),
        (glyphs, "EDGE_WIDTH", 1.1),
        (scenes, "CHROMA", 1.05),
        (scenes, "ANGLE", 1.1),
    ],
)
def test_a_small_change_is_seen(monkeypatch, module, name, factor):
    before = content(SPECS[:1])
    monkeypatch.setattr(module, name, factor * getattr(module, name))
    load_pool.cache_clear()
    try:
        assert not same(content(SPECS[:1]), before)
    finally:
        load_pool.cache_clear()


def test_the_stamp_changes_with_the_version_and_the_style(monkeypatch):
    spec = SPECS[0]
    stamp = build.fingerprint(spec)
    assert build.fingerprint(replace(spec, style=replace(spec.style, size=161))) != stamp
    monkeypatch.setattr(build, "VERSION", VERSION + 1)
    assert build.fingerprint(spec) != stamp


if __name__ == "__main__":
    CONTENT.write_text(json.dumps({"version": VERSION, "scenes": content()}) + "\n")
