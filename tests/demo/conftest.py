from pathlib import Path

import numpy as np
import onenet  # noqa: F401  (makes Detectron2 importable, so it comes first)
import pytest
import torch

# isort: split
from detectron2.modeling import build_model
from onenet.engine import setup_cfg

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
    torch.save({"model": build_model(setup_cfg(str(config))).state_dict()}, weights)
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
