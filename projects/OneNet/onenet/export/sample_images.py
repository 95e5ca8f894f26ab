"""Images for a comparison, where the user gives none."""

from __future__ import annotations

import numpy as np

from ..data.digits.glyphs import load_pool
from ..data.digits.scenes import compose_scene

NUM_SCENES = 2


def digit_scenes() -> list[np.ndarray]:
    """Scenes of handwritten digits as in ``digits_val``, (H, W, 3) uint8, BGR."""
    rng = np.random.default_rng(0)
    pool = load_pool("val")
    scenes = [compose_scene(rng, pool).image for _ in range(NUM_SCENES)]
    return [np.ascontiguousarray(image[..., ::-1]) for image in scenes]
