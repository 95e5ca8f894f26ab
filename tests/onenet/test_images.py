import io
import struct

import numpy as np
import pytest
from onenet.errors import UserError
from onenet.images import read_image
from PIL import Image

GREY = np.array([[0, 1000, 32768], [40000, 65279, 65535]], np.uint16)
HIGH = np.array([[0, 3, 128], [156, 254, 255]], np.uint8)
ORIENTATION, SHORT, LONG = 0x0112, 3, 4
TO_STORED = {  # how an upright picture lies in a file of that orientation
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.transpose(1, 0, 2),
    6: lambda x: x.transpose(1, 0, 2)[::-1],
    7: lambda x: x.transpose(1, 0, 2)[::-1, ::-1],
    8: lambda x: x.transpose(1, 0, 2)[:, ::-1],
}
XMP = b"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF
xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description
xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="%d"/></rdf:RDF></x:xmpmeta>"""


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def read_rgb(path):
    image = read_image(path)
    assert image.dtype == np.uint8 and image.flags.c_contiguous
    return image[..., ::-1]


def save(path, pixels, **options):
    Image.fromarray(pixels).save(path, **options)
    return path


def write_tiff(path, pixels, bits=16, sample_format=1, black=1, order="<"):
    """A TIFF of one channel, uncompressed; ``black`` is PhotometricInterpretation."""
    height, width = pixels.shape
    data = pixels.tobytes()
    tags = [(256, width), (257, height), (258, bits), (259, 1), (262, black), (273, 8), (277, 1),
            (278, height), (279, len(data)), (339, sample_format)]  # fmt: skip
    entries = b"".join(struct.pack(f"{order}HHII", tag, LONG, 1, value) for tag, value in tags)
    mark = b"II" if order == "<" else b"MM"
    head = mark + struct.pack(f"{order}HI", 42, 8 + len(data))
    path.write_bytes(head + data + struct.pack(f"{order}H", len(tags)) + entries + bytes(4))
    return path


@pytest.mark.parametrize("suffix", [".png", ".tif", ".pgm"])
def test_of_16_bits_grey_the_higher_8_are_kept(tmp_path, suffix):
    path = save(tmp_path / f"a{suffix}", GREY)
    assert (read_rgb(path) == HIGH[..., None]).all()


@pytest.mark.parametrize("order", "<>")
def test_tiff_of_16_bits_in_either_byte_order(tmp_path, order):
    path = write_tiff(tmp_path / "a.tif", GREY.astype(f"{order}u2"), order=order)
    assert (read_rgb(path) == HIGH[..., None]).all()


def test_tiff_whose_zero_is_white(tmp_path):
    eight = write_tiff(tmp_path / "8.tif", HIGH, bits=8, black=0)
    sixteen = write_tiff(tmp_path / "16.tif", GREY, black=0)
    for path in (eight, sixteen):
        assert (read_rgb(path) == 255 - HIGH[..., None]).all()


def test_tiff_of_12_bits(tmp_path):
    packed = np.frombuffer(bytes.fromhex("000fff8004f0"), np.uint8)  # 0 4095 2048 1264
    path = write_tiff(tmp_path / "a.tif", packed[None], bits=12)
    content = path.read_bytes().replace(struct.pack("<HHII", 256, LONG, 1, 6),
                                        struct.pack("<HHII", 256, LONG, 1, 4))  # fmt: skip
    path.write_bytes(content)
    assert read_rgb(path)[0, :, 0].tolist() == [0, 255, 128, 79]


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_of_16_bits_colour_the_higher_8_are_kept(tmp_path, suffix, alpha):
    import cv2

    deep = np.stack([GREY, GREY[::-1], GREY[:, ::-1]] + [GREY // 2] * alpha, axis=-1)
    path = tmp_path / f"a.{suffix}"
    assert cv2.imwrite(str(path), deep)
    np.testing.assert_array_equal(read_image(path), deep[..., :3] >> 8)


@pytest.mark.parametrize(
    ("pixels", "sample_format"),
    [(np.linspace(0, 1, 6, dtype=np.float32).reshape(2, 3), 3), (GREY.astype(np.uint32), 1),
     (GREY.astype(np.int32), 2), ((GREY // 2).astype(np.int16), 2)],
    ids=["float", "32 bits", "signed 32 bits", "signed 16 bits"],
)  # fmt: skip
def test_pixels_without_a_fixed_range_are_refused(tmp_path, pixels, sample_format):
    path = write_tiff(tmp_path / "a.tif", pixels, 8 * pixels.itemsize, sample_format)
    with pytest.raises(UserError, match=r"a\.tif: pixels that are floats.* scale them to 8 or 16"):
        read_image(path)


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif"])
def test_transparency_is_dropped(tmp_path, suffix):
    pixels = noise(5, 7, 4)
    path = save(tmp_path / f"a{suffix}", pixels, lossless=True, exact=True)
    np.testing.assert_array_equal(read_rgb(path), pixels[..., :3])


def test_grey_with_transparency(tmp_path):
    pixels = noise(5, 7, 2)
    path = tmp_path / "a.png"
    Image.fromarray(pixels).save(path)
    assert (read_rgb(path) == pixels[..., :1]).all()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("suffix", "transparency"),
    [(".png", None), (".png", 2), (".png", bytes([255, 0, 128, 255])), (".gif", None), (".gif", 2)],
)
def test_palettes_become_their_colours(tmp_path, suffix, transparency):
    colours = noise(4, 3)
    index = np.array([[0, 1, 2], [3, 2, 1]], np.uint8)
    image = Image.frombytes("P", (3, 2), index.tobytes())
    image.putpalette(colours.tobytes())
    options = {} if transparency is None else {"transparency": transparency}
    image.save(tmp_path / f"a{suffix}", **options)
    np.testing.assert_array_equal(read_rgb(tmp_path / f"a{suffix}"), colours[index])


@pytest.mark.parametrize("transparency", [(10, 20, 30), 10])
def test_a_transparent_colour_is_kept_as_it_is(tmp_path, transparency):
    pixels = np.full((4, 4, 3), (10, 20, 30), np.uint8)
    pixels = pixels[..., 0].copy() if transparency == 10 else pixels
    path = save(tmp_path / "a.png", pixels, transparency=transparency)
    assert (read_rgb(path) == pixels.reshape(4, 4, -1)).all()


def test_grey_of_8_bits_and_of_1(tmp_path):
    grey = noise(5, 7)
    assert (read_rgb(save(tmp_path / "a.png", grey)) == grey[..., None]).all()
    ink = grey > 127
    for suffix in (".png", ".tif"):
        path = save(tmp_path / f"a{suffix}", ink)
        assert (read_rgb(path) == 255 * ink[..., None]).all()


@pytest.mark.parametrize(
    ("mode", "suffix", "stored", "wanted"),
    [
        ("CMYK", ".tif", (0, 0, 0, 0), (255, 255, 255)),
        ("CMYK", ".tif", (255, 0, 0, 51), (0, 204, 204)),
        ("CMYK", ".jpg", (255, 0, 0, 0), (0, 255, 255)),
        ("CMYK", ".jpg", (0, 0, 0, 255), (0, 0, 0)),
        ("YCbCr", ".jpg", (76, 85, 255), (254, 0, 0)),
        ("LAB", ".tif", (255, 128, 128), (255, 255, 255)),
        ("LAB", ".tif", (0, 128, 128), (0, 0, 0)),
    ],
)
def test_other_colour_spaces_become_rgb(tmp_path, mode, suffix, stored, wanted):
    path = tmp_path / f"a{suffix}"
    Image.new(mode, (16, 16), stored).save(path)
    assert np.abs(read_rgb(path).astype(int) - wanted).max() <= 2


@pytest.mark.parametrize("orientation", TO_STORED)
@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp", ".jpg"])
@pytest.mark.parametrize("told_by", ["exif", "xmp"])
def test_images_are_upright(tmp_path, orientation, suffix, told_by):
    upright = np.kron(noise(2, 3, 3), np.ones((16, 16, 1), np.uint8))  # squares outlive JPEG
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    tag = {"exif": exif} if told_by == "exif" else {"xmp": XMP % orientation}
    if suffix == ".png" and told_by == "xmp":
        from PIL.PngImagePlugin import PngInfo

        tag = {"pnginfo": PngInfo()}
        tag["pnginfo"].add_itxt("XML:com.adobe.xmp", (XMP % orientation).decode())
    if suffix == ".tif" and told_by == "xmp":
        tag = {"tiffinfo": {700: XMP % orientation}}
    stored = np.ascontiguousarray(TO_STORED[orientation](upright))
    path = save(tmp_path / f"a{suffix}", stored, lossless=True, quality=100, subsampling=0, **tag)
    image = read_rgb(path)
    assert image.shape == upright.shape
    assert np.abs(image.astype(int) - upright).max() <= (8 if suffix == ".jpg" else 0)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_deep_and_palette_images_are_upright_too(tmp_path, suffix):
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    path = save(tmp_path / f"a{suffix}", np.ascontiguousarray(GREY.T[::-1]), exif=exif)
    assert (read_rgb(path) == HIGH[..., None]).all()
    paletted = Image.frombytes("P", (2, 3), HIGH.T[::-1].tobytes())
    paletted.putpalette(np.repeat(np.arange(256, dtype=np.uint8), 3).tobytes())
    paletted.save(path, exif=exif)
    assert (read_rgb(path) == HIGH[..., None]).all()


def test_a_broken_exif_block_is_no_obstacle(tmp_path):
    pixels = noise(16, 16, 3)
    path = save(tmp_path / "a.png", pixels, exif=b"Exif\x00\x00II*\x00\xff\xff\xff")
    np.testing.assert_array_equal(read_rgb(path), pixels)


@pytest.mark.parametrize("suffix", [".gif", ".png", ".webp", ".tif"])
def test_of_several_frames_the_first_is_read(tmp_path, suffix):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue")]
    path = tmp_path / f"a{suffix}"
    frames[0].save(path, save_all=True, append_images=frames[1:], lossless=True)
    with Image.open(path) as image:
        assert image.n_frames == 3
    assert (read_rgb(path) == (255, 0, 0)).all()


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".webp", ".gif", ".tif", ".ppm"])
def test_a_part_of_an_image_is_refused(tmp_path, suffix):
    path = save(tmp_path / f"a{suffix}", noise(60, 40, 3))
    assert read_image(path).shape == (60, 40, 3)
    content = path.read_bytes()
    for length in (len(content) // 2, len(content) - 20):
        path.write_bytes(content[:length])
        with pytest.raises(UserError, match=f"a{suffix}: the image is truncated or damaged"):
            read_image(path)


def test_damage_within_a_png_is_found(tmp_path):
    path = save(tmp_path / "a.png", noise(60, 40, 3))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match="damaged"):
        read_image(path)


def test_the_end_of_a_thumbnail_is_not_the_end_of_the_image(tmp_path):
    path = save(tmp_path / "a.jpg", noise(60, 40, 3))
    content = path.read_bytes()
    thumbnail = b"\xff\xe1" + (2 + 6).to_bytes(2, "big") + b"thum\xff\xd9"
    path.write_bytes(content[:2] + thumbnail + content[2:-40])
    with pytest.raises(UserError, match="truncated"):
        read_image(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "the file is empty"), (b"no image", "not an image that Pillow can read: save it as"),
     (None, "No such file")],
)  # fmt: skip
def test_what_is_no_image_is_named(tmp_path, content, message):
    path = tmp_path / "a.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=f"a.png: .*{message}"):
        read_image(path)


def test_a_folder_is_named(tmp_path):
    with pytest.raises(UserError, match=f"{tmp_path.name}: Is a directory"):
        read_image(tmp_path)


def test_decompression_bombs_are_refused_unread(tmp_path):
    """A header of 20000 x 20000 pixels, of which no row is there."""
    buffer = io.BytesIO()
    Image.new("L", (1, 1)).save(buffer, "bmp")
    content = bytearray(buffer.getvalue())
    content[18:26] = struct.pack("<ii", 20000, 20000)
    path = tmp_path / "a.bmp"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"a\.bmp: .*400000000 pixels.*MAX_IMAGE_PIXELS"):
        read_image(path)
