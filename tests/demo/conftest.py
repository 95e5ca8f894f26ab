import os
from pathlib import Path

import cv2
import numpy as np
import onenet  # noqa: F401  (makes Detectron2 importable, so it comes first)
import pytest
import torch

# isort: split
from detectron2.modeling import build_model
from onenet.data.digits.glyphs import load_pool
from onenet.data.digits.scenes import compose_scene
from onenet.engine import setup_cfg
from onenet.predict import OnnxPredictor

CERTAIN = 0.3  # a score
LOW = 0.2  # another, of what is compared with that
TINY = Path(__file__).parents[1] / "tiny.yaml"
CONFIG = (
    f'_BASE_: "{TINY}"'
    + """
MODEL: {DEVICE: "cpu"}
INPUT: {FORMAT: "RGB", MIN_SIZE_TEST: 64, MAX_SIZE_TEST: 256}
VERSION: 2
"""
)


@pytest.fixture(scope="session")
def detector(tmp_path_factory):
    """An untrained detector: arguments that name its config, and its weights."""
    folder = tmp_path_factory.mktemp("detector")
    config, weights = folder / "config.yaml", folder / "model.pth"
    config.write_text(CONFIG)
    torch.manual_seed(0)
    model = build_model(setup_cfg(str(config)))
    torch.nn.init.zeros_(model.head.cls_score.weight)  # or some scores would be one
    torch.save({"model": model.state_dict()}, weights)
    return ["--config-file", str(config)], str(weights)


@pytest.fixture
def noise():
    """Make an image (height, width, 3) of noise."""
    return lambda *size: np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)


@pytest.fixture
def demo(detector, monkeypatch):
    """Run demo.py in this process; gives its exit code."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "demo"))
    import demo as program

    def run(*arguments, weights=detector[1]):
        opts = ["--opts", "MODEL.WEIGHTS", weights]
        return program.main([*detector[0], *map(str, arguments), *opts])

    return run


@pytest.fixture(scope="session")
def trained_model():
    """A model of the digits that was trained: with the tiny ones, little can go wrong."""
    path = os.environ.get("ONENET_MODEL")
    return path or pytest.skip("ONENET_MODEL names no exported model of the digits")


@pytest.fixture(scope="session")
def scenes(tmp_path_factory):
    """Files of scenes of digits, in the size that the network takes and, last, larger."""
    folder, rng, pool = (
        tmp_path_factory.mktemp("scenes"),
        np.random.default_rng(0),
        load_pool("val"),
    )
    files = []
    for index in range(24):
        image = compose_scene(rng, pool).image[..., ::-1]
        if index >= 20:
            image = cv2.resize(image, (420, 300), interpolation=cv2.INTER_CUBIC)
        files.append(folder / f"{index:02d}.png")
        assert cv2.imwrite(str(files[-1]), image)
    return files


@pytest.fixture(scope="session")
def expected(trained_model, scenes):
    """What Python finds in each scene: class, score and box of what scores at least LOW."""
    results = OnnxPredictor(trained_model, threshold=LOW)(scenes)
    assert sum(len(found.above(CERTAIN)) for found in results) > len(scenes)
    return [list(zip(x.classes, x.scores, x.boxes, strict=True)) for x in results]


@pytest.fixture
def assert_same():
    """Compare two such lists: what is CERTAIN in one of them has to be in the other."""

    def check(first, second, score_tolerance, box_tolerance):
        for these, those in ((first, second), (second, first)):
            for label, score, box in these:
                assert score < CERTAIN or any(
                    label == other_label
                    and abs(score - other_score) <= score_tolerance
                    and np.abs(np.subtract(box, other_box)).max() <= box_tolerance
                    for other_label, other_score, other_box in those
                ), f"{label} {score} {box} is not among {those}"

    return check
