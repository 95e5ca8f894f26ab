import cv2
import numpy as np
import pytest
from onenet.errors import UserError
from onenet.predict import read_image
from onenet.predict.images import check_image
from onenet.predict.resize import network_size, resize
from PIL import Image

SUFFIXES = (".png", ".jpg", ".bmp", ".webp")


def noise(*shape, dtype=np.uint8):
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max + 1, shape, dtype)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_part_of_an_image_is_refused(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    cv2.imwrite(str(path), noise(60, 40, 3))
    assert read_image(path).shape == (60, 40, 3)
    content = path.read_bytes()
    for length in (len(content) // 2, len(content) - 20):
        path.write_bytes(content[:length])
        with pytest.raises(UserError, match=f"a{suffix}: the image is truncated"):
            read_image(path)


def test_damage_within_a_png_is_found(tmp_path):
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), noise(60, 40, 3))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match="damaged"):
        read_image(path)


def test_the_end_of_a_thumbnail_is_not_the_end_of_the_image(tmp_path):
    path = tmp_path / "a.jpg"
    cv2.imwrite(str(path), noise(60, 40, 3))
    content = path.read_bytes()
    thumbnail = b"\xff\xe1" + (2 + 6).to_bytes(2, "big") + b"thumb\x00"[:4] + b"\xff\xd9"
    path.write_bytes(content[:2] + thumbnail + content[2:])
    assert read_image(path).shape == (60, 40, 3)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(UserError, match="truncated"):
        read_image(path)


@pytest.mark.parametrize(
    ("content", "message"), [(b"", "empty"), (b"no image", "not an image"), (None, "No such file")]
)
def test_what_is_no_image_is_named(tmp_path, content, message):
    path = tmp_path / "a.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=f"a.png: .*{message}"):
        read_image(path)


@pytest.mark.parametrize(
    "image",
    [noise(5, 7), noise(5, 7, 4), noise(5, 7, dtype=np.uint16), noise(5, 7, 3, dtype=np.uint16)],
    ids=["grey", "transparent", "16 bit grey", "16 bit"],
)
def test_files_of_other_kinds_become_bgr(tmp_path, image):
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), image)
    read = read_image(path)
    assert (read.shape, read.dtype) == ((5, 7, 3), np.uint8)
    wanted = image if image.dtype == np.uint8 else image / 257
    wanted = wanted[..., :3] if wanted.ndim == 3 else wanted[..., None]
    assert np.abs(read - wanted.astype(float)).max() <= 1


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
        check_image(image)


@pytest.mark.parametrize("size", [(37, 50), (160, 101), (73, 200), (1, 1), (74, 100)])
def test_resizing_is_pillows(size):
    image = cv2.GaussianBlur(noise(74, 100, 3), (0, 0), 0.6)
    wanted = Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR)
    np.testing.assert_allclose(resize(image, *size), np.asarray(wanted), atol=1)


def test_sizes_are_detectron2s():
    from detectron2.data.transforms import ResizeShortestEdge

    rng = np.random.default_rng(0)
    for height, width in rng.integers(20, 900, (50, 2)):
        transform = ResizeShortestEdge([160, 160], 300).get_transform(np.zeros((height, width, 3)))
        wanted = (transform.new_h, transform.new_w)
        assert network_size(int(height), int(width), 160, 300) == wanted
    assert network_size(50, 70, 0, 10) == (50, 70)
    assert network_size(1, 4000, 160, 300) == (1, 300)
