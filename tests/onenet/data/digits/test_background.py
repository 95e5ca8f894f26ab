import numpy as np
from onenet.data.digits.background import add_grain, paint_background, smooth_noise


def test_smooth_noise_is_smooth():
    noise = smooth_noise(np.random.default_rng(0), 64, 4, 3)
    assert noise.shape == (64, 64, 3)
    assert np.abs(np.diff(noise, axis=0)).max() < 0.3 * np.ptp(noise)


def test_background_is_textured_in_every_region():
    for seed in range(5):
        image = paint_background(np.random.default_rng(seed), 96)
        assert image.shape == (96, 96, 3) and image.min() >= 0 and image.max() <= 255
        blocks = image.reshape(4, 24, 4, 24, 3).std(axis=(1, 3))
        assert blocks.max(axis=-1).min() > 2  # grey levels


def test_grain_returns_bytes_near_the_image():
    image = np.full((64, 64, 3), 100, np.float32)
    grained = add_grain(np.random.default_rng(0), image)
    assert grained.dtype == np.uint8
    assert 0 < grained.std() < 15
    assert abs(grained.mean() - 100) < 1
