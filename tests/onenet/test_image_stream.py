import numpy as np
import pytest
from onenet import image_stream
from onenet.errors import UserError
from onenet.image_stream import ImageStream, open_large_image
from onenet.images import read_image
from PIL import Image

pyvips = pytest.importorskip("pyvips", reason=f"needs {image_stream.REQUIREMENT}")
SLICES = [(0, 20), (0, 20), (15, 40), (15, 30), (60, 70), (65, 90), (10, 12), (0, 90)]


def noise(mode):
    values = np.random.default_rng(0).integers(0, 65536, (90, 50, 3)).astype(np.uint16)
    if mode == "I;16":
        return Image.fromarray(values[..., 0])
    return Image.fromarray((values >> 8).astype(np.uint8)).convert(mode)


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [("RGB", "png"), ("RGB", "jpg"), ("RGB", "tif"), ("RGB", "webp"), ("L", "png"), ("LA", "png"),
     ("RGBA", "png"), ("P", "png"), ("I;16", "png"), ("I;16", "tif"), ("1", "tif")],
)  # fmt: skip
def test_the_pixels_are_those_of_the_reader(tmp_path, mode, suffix):
    path = tmp_path / f"a.{suffix}"
    noise(mode).save(path)
    whole, stream = read_image(path), ImageStream(path)
    assert stream.shape == whole.shape
    for top, bottom in SLICES:
        np.testing.assert_array_equal(stream[top:bottom], whole[top:bottom])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_turned_upright(tmp_path, orientation):
    path, exif = tmp_path / "a.png", Image.Exif()
    exif[0x112] = orientation
    noise("RGB").save(path, exif=exif)
    np.testing.assert_array_equal(ImageStream(path)[0:90], read_image(path))


def test_only_large_files_are_streamed(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    noise("RGB").save(path)
    assert isinstance(open_large_image(path), np.ndarray)
    for limit in (90 * 50 - 1, 2000):  # what Pillow warns of, and what it refuses
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        assert isinstance(open_large_image(path), ImageStream)


def test_it_can_be_reduced(tmp_path):
    path = tmp_path / "a.png"
    Image.new("RGB", (200, 100), (10, 20, 30)).save(path)
    reduced = ImageStream(path).reduced(0.1)
    assert reduced.shape == (10, 20, 3) and (reduced == [30, 20, 10]).all()


def test_files_that_cannot_be_used(tmp_path):
    path = tmp_path / "a.png"
    noise("RGB").save(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    stream = ImageStream(path)
    with pytest.raises(UserError, match=r"a\.png: the image is truncated or damaged"):
        stream[0:90]
    noise("CMYK").save(tmp_path / "b.jpg")
    with pytest.raises(UserError, match=r"b\.jpg: 4 channels of uchar \(cmyk\)"):
        ImageStream(tmp_path / "b.jpg")
    for name, content in {"none.png": None, "text.png": b"text"}.items():
        if content:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=name):
            open_large_image(tmp_path / name)


def test_without_pyvips_it_says_what_to_install(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    noise("RGB").save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    monkeypatch.setitem(__import__("sys").modules, "pyvips", None)
    with pytest.raises(UserError, match="pip install 'pyvips"):
        open_large_image(path)
