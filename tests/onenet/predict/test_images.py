import numpy as np
import onenet  # noqa: F401  (makes Detectron2 importable, so it comes first)
import pytest

# isort: split
from detectron2.data.transforms import ResizeShortestEdge, ResizeTransform
from onenet.errors import UserError
from onenet.predict.images import load_image, network_size, resize


def noise(*shape, dtype=np.uint8):
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max + 1, shape, dtype)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (noise(4, 4, 4), "4 channels"),
        (noise(4, 4), r"shape \(4, 4\)"),
        (noise(4, 4, 3, dtype=np.uint16), "uint16"),
        (np.zeros((4, 4, 3)), "float64"),
        (np.zeros((0, 4, 3), np.uint8), "no pixels"),
    ],
)
def test_arrays_that_are_no_images(image, message):
    with pytest.raises(UserError, match=message):
        load_image(image)


@pytest.mark.parametrize("size", [(37, 50), (160, 101), (73, 200), (1, 1), (74, 100)])
def test_resizing_is_detectron2s(size):
    image = noise(74, 100, 3)
    wanted = ResizeTransform(74, 100, *size).apply_image(image)
    np.testing.assert_array_equal(resize(image, *size), wanted)


def test_sizes_are_detectron2s():
    rng = np.random.default_rng(0)
    for height, width in rng.integers(20, 900, (50, 2)):
        transform = ResizeShortestEdge([160, 160], 300).get_transform(np.zeros((height, width, 3)))
        wanted = (transform.new_h, transform.new_w)
        assert network_size(int(height), int(width), 160, 300) == wanted
    assert network_size(50, 70, 0, 10) == (50, 70)
    assert network_size(1, 4000, 160, 300) == (1, 300)
