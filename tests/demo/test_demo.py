import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from onenet import UserError
from PIL import Image

NOTHING = 1.0  # a threshold above every score
DEMO = Path(__file__).parents[2] / "demo" / "demo.py"


def write_image(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)
    return path


def test_a_picture_of_each_image_has_its_size(demo, noise, tmp_path):
    write_image(tmp_path / "in" / "a.png", noise(48, 80))
    write_image(tmp_path / "in" / "b.jpg", noise(70, 40))
    out = tmp_path / "out"
    assert demo("--input", tmp_path / "in", "--output", out) == 0
    assert cv2.imread(str(out / "a.png")).shape == (48, 80, 3)
    assert cv2.imread(str(out / "b.jpg")).shape == (70, 40, 3)
    assert len(list(out.iterdir())) == 2


def test_the_threshold_decides_what_is_drawn(demo, noise, tmp_path):
    image = noise(64, 64)
    source, picture = write_image(tmp_path / "a.png", image), tmp_path / "b.png"
    arguments = ["--input", source, "--output", picture, "--confidence-threshold"]
    assert demo(*arguments, NOTHING) == 0
    np.testing.assert_array_equal(cv2.imread(str(picture)), image)  # BGR order and all
    assert demo(*arguments, 0.0) == 0
    assert (cv2.imread(str(picture)) != image).any()


def test_pictures_can_be_enlarged(demo, noise, tmp_path):
    source = write_image(tmp_path / "a.png", noise(30, 50))
    assert demo("--input", source, "--output", tmp_path / "out.bmp", "--scale", 3) == 0
    assert cv2.imread(str(tmp_path / "out.bmp")).shape == (90, 150, 3)


def test_bad_inputs_are_named_and_the_others_done(demo, noise, tmp_path, capsys):
    good = write_image(tmp_path / "in" / "good.png", noise(32, 32))
    content = good.read_bytes()
    (tmp_path / "in" / "empty.png").touch()
    (tmp_path / "in" / "half.png").write_bytes(content[: len(content) // 2])
    (tmp_path / "in" / "text.jpg").write_text("no image")
    out = tmp_path / "out"
    assert demo("--input", tmp_path / "in", tmp_path / "none.png", "--output", out) == 1
    assert [file.name for file in out.iterdir()] == ["good.png"]
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 4
    for name in ("none.png", "empty.png", "half.png", "text.jpg"):
        assert sum(name in line for line in errors) == 1


@pytest.mark.parametrize(
    "image",
    [
        np.full((1, 1, 3), 9, np.uint8),
        np.full((40, 30), 9, np.uint8),
        np.full((40, 30, 4), 9, np.uint8),
        np.full((40, 30), 9000, np.uint16),
        np.full((40, 30, 3), 9000, np.uint16),
    ],
    ids=["one pixel", "grey", "transparent", "16 bit grey", "16 bit"],
)
def test_unusual_images(demo, tmp_path, image):
    source = write_image(tmp_path / "a.png", image)
    assert demo("--input", source, "--output", tmp_path / "out.png") == 0
    assert cv2.imread(str(tmp_path / "out.png")).shape == (*image.shape[:2], 3)


def test_globs_and_folders_keep_their_subfolders(demo, noise, tmp_path):
    for folder in ("x", "y"):
        write_image(tmp_path / folder / "a.png", noise(32, 32))
    (tmp_path / "x" / "notes.txt").write_text("not an image")
    out = tmp_path / "out"
    assert demo("--input", tmp_path / "?" / "*.png", tmp_path / "x", "--output", out) == 0
    assert sorted(str(f.relative_to(out)) for f in out.rglob("*.*")) == ["x/a.png", "y/a.png"]


def test_inputs_are_not_replaced(demo, noise, tmp_path):
    source = write_image(tmp_path / "a.png", noise(32, 32))
    before = source.read_bytes()
    for output in (tmp_path, source):
        with pytest.raises(UserError, match="replace their inputs"):
            demo("--input", source, "--output", output)
    assert source.read_bytes() == before


def test_several_pictures_need_a_folder(demo, noise, tmp_path):
    for name in "ab":
        write_image(tmp_path / f"{name}.png", noise(32, 32))
    with pytest.raises(UserError, match="need a folder"):
        demo("--input", tmp_path / "*.png", "--output", tmp_path / "out.png")


def test_nothing_to_do_is_an_error(demo, tmp_path):
    with pytest.raises(UserError, match="no image there"):
        demo("--input", tmp_path, "--output", tmp_path / "out")


@pytest.mark.parametrize("name", ["out", "out.json", "out/a.png"])
def test_an_output_that_cannot_be_is_named_before_any_work(
    demo, noise, tmp_path, monkeypatch, name
):
    source = write_image(tmp_path / "a.png", noise(32, 32))
    (tmp_path / "file").touch()
    monkeypatch.setattr("detect.CocoResults.__call__", None)
    monkeypatch.setattr("detect.Painter.__call__", None)
    with pytest.raises(UserError, match="--output: no folder .*file"):
        demo("--input", source, "--output", tmp_path / "file" / name)


def test_a_picture_that_cannot_be_written_is_named_and_the_others_done(
    demo, noise, tmp_path, capsys
):
    for name in "ab":
        write_image(tmp_path / "in" / f"{name}.png", noise(32, 32))
    (tmp_path / "out" / "a.png").mkdir(parents=True)
    assert demo("--input", tmp_path / "in", "--output", tmp_path / "out") == 1
    assert "a.png: Is a directory" in capsys.readouterr().err
    assert (tmp_path / "out" / "b.png").is_file()


@pytest.mark.parametrize(
    ("option", "value"),
    [("--scale", 0), ("--scale", "nan"), ("--confidence-threshold", 40), ("--compare-nms", -0.1)],
)
def test_numbers_out_of_range_are_refused(demo, capsys, option, value):
    with pytest.raises(SystemExit):
        demo("--input", "a.png", "--output", "out", option, value)
    assert f"argument {option}: {value} is not" in capsys.readouterr().err


def test_options_that_would_do_nothing_are_refused(demo, noise, tmp_path):
    source = write_image(tmp_path / "a.png", noise(32, 32))
    with pytest.raises(UserError, match="--providers"):
        demo("--input", source, "--output", tmp_path / "o", "--providers", "CPUExecutionProvider")
    with pytest.raises(UserError, match="--compare-nms"):
        demo("--input", source, "--output", tmp_path / "o.json", "--compare-nms", 0.5)


def test_tiles(demo, noise, tmp_path):
    source = write_image(tmp_path / "a.png", noise(90, 130))
    assert (
        demo("--input", source, "--output", tmp_path / "b.png", "--tile", 64, "--overlap", 8) == 0
    )
    assert cv2.imread(str(tmp_path / "b.png")).shape == (90, 130, 3)
    for options, message in {("--overlap", 8): "--tile", ("--tile", 64): "is 100 pixels"}.items():
        with pytest.raises(UserError, match=message):
            demo("--input", source, "--output", tmp_path / "b.png", *options)


def test_pictures_of_large_files_are_reduced(demo, noise, tmp_path, monkeypatch, capsys):
    pytest.importorskip("pyvips")
    source = write_image(tmp_path / "a.png", noise(100, 200))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100 * 200 - 1)
    monkeypatch.setattr("detect.MAX_DRAWN", 100 * 200 // 4)
    arguments = ["--input", source, "--tile", 64, "--overlap", 8, "--output"]
    assert demo(*arguments, tmp_path / "b.png") == 1
    assert "200 x 100 pixels are too many for a picture: say --scale 0.5" in capsys.readouterr().err
    assert demo(*arguments, tmp_path / "b.png", "--scale", 0.5) == 0
    assert cv2.imread(str(tmp_path / "b.png")).shape == (50, 100, 3)
    assert demo(*arguments, tmp_path / "b.json", "--confidence-threshold", 0) == 0
    boxes = [found["bbox"] for found in json.loads((tmp_path / "b.json").read_text())]
    assert max(x + width for x, _, width, _ in boxes) > 2 * 64  # of tiles that are not the first


@pytest.mark.parametrize("weights", ["", "detectron2://ImageNetPretrained/torchvision/R-50.pkl"])
def test_a_detector_must_be_trained(demo, noise, tmp_path, weights):
    source = write_image(tmp_path / "a.png", noise(32, 32))
    with pytest.raises(UserError, match=f'MODEL.WEIGHTS "{weights}" is no trained detector'):
        demo("--input", source, "--output", tmp_path / "out", weights=weights)
    assert not (tmp_path / "out").exists()


def test_as_a_program_it_ends_with_one_line(detector, tmp_path):
    command = [*detector[0], "--input", str(tmp_path / "none.png"), "--output", str(tmp_path)]
    done = subprocess.run([sys.executable, str(DEMO), *command], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"error: {tmp_path / 'none.png'}: no image there"
    assert "Traceback" not in done.stderr


def test_without_display_or_output_it_says_so(demo, noise, tmp_path, monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    source = write_image(tmp_path / "a.png", noise(32, 32))
    with pytest.raises(UserError, match="--output FOLDER"):
        demo("--input", source)
