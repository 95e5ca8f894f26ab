import re

import cv2
import numpy as np
import pytest
from onenet import UserError

NOTHING = 1.0  # a threshold above every score


def write_video(path, pictures, fps=10.0, codec="MJPG"):
    size = pictures[0].shape[1::-1]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), fps, size)
    for picture in pictures:
        writer.write(picture)
    writer.release()
    return path


def shades(count):
    """Pictures that become lighter."""
    return [np.full((32, 48, 3), 20 * index % 256, np.uint8) for index in range(count)]


def read_video(path):
    capture = cv2.VideoCapture(str(path))
    frames = []
    while True:
        more, frame = capture.read()
        if not more:
            return frames, capture.get(cv2.CAP_PROP_FPS)
        frames.append(frame)


def test_without_a_camera_it_says_so(demo, tmp_path, monkeypatch):
    monkeypatch.setattr("cv2.VideoCapture.isOpened", lambda capture: False)
    with pytest.raises(UserError, match="there is no camera"):
        demo("--webcam", "--output", tmp_path / "out.mp4")


class Camera:
    """Stands for a camera: some frames, then Ctrl-C, or nothing at all."""

    def __init__(self, frames):
        self.frames = frames
        self.left = iter(frames)

    def isOpened(self):
        return True

    def get(self, _):
        return 0.0

    def read(self):
        if not self.frames:
            return False, None
        frame = next(self.left, None)
        if frame is None:
            raise KeyboardInterrupt
        return True, frame

    def release(self):
        pass


def test_the_pictures_of_a_camera_become_a_video(demo, tmp_path, monkeypatch):
    monkeypatch.setattr("video.cv2.VideoCapture", lambda _: Camera(shades(3)))
    assert demo("--webcam", "--output", tmp_path) == 0
    monkeypatch.undo()
    frames, _ = read_video(tmp_path / "webcam.mp4")
    assert len(frames) == 3 and frames[0].shape == (32, 48, 3)


def test_a_camera_without_pictures_is_named(demo, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("video.cv2.VideoCapture", lambda _: Camera([]))
    assert demo("--webcam", "--output", tmp_path) == 1
    assert "error: the camera gives no pictures" in capsys.readouterr().err


@pytest.mark.parametrize("suffix", [".avi", ".mkv", ".mp4"])
def test_a_video_becomes_a_video(demo, tmp_path, suffix):
    source = write_video(tmp_path / "in.avi", shades(6))
    output = tmp_path / "folder" / f"out{suffix}"
    arguments = ["--video-input", source, "--output", output, "--confidence-threshold", NOTHING]
    assert demo(*arguments) == 0
    frames, fps = read_video(output)
    assert len(frames) == 6
    assert fps == pytest.approx(10)
    assert frames[0].shape == (32, 48, 3)
    assert [frame.mean() for frame in frames] == pytest.approx([0, 20, 40, 60, 80, 100], abs=6)
    assert [file.name for file in output.parent.iterdir()] == [output.name]


def test_a_video_goes_into_a_folder_under_its_name(demo, tmp_path):
    source = write_video(tmp_path / "in.avi", shades(2))
    assert demo("--video-input", source, "--output", tmp_path / "out", "--scale", 2) == 0
    frames, _ = read_video(tmp_path / "out" / "in.mp4")
    assert frames[0].shape == (64, 96, 3)


def test_a_video_that_ends_early_is_named(demo, tmp_path, capsys):
    source = write_video(tmp_path / "in.avi", shades(40))
    content = source.read_bytes()
    source.write_bytes(content[: len(content) * 3 // 5])
    assert demo("--video-input", source, "--output", tmp_path / "out.avi") == 1
    frames, _ = read_video(tmp_path / "out.avi")
    assert 0 < len(frames) < 30
    assert f"in.avi: ends after {len(frames)} of 40 frames" in capsys.readouterr().err


@pytest.mark.parametrize(("suffix", "codec"), [(".avi", "MJPG"), (".mkv", "mp4v")])
def test_a_short_video_that_ends_early_is_named_too(demo, tmp_path, capsys, suffix, codec):
    pictures = np.random.default_rng(0).integers(0, 256, (20, 64, 64, 3), np.uint8)
    source = write_video(tmp_path / f"in{suffix}", pictures, fps=30.0, codec=codec)
    arguments = ["--video-input", source, "--output", tmp_path / "results.json"]
    assert demo(*arguments) == 0
    content = source.read_bytes()
    source.write_bytes(content[: len(content) // 2])
    assert demo(*arguments) == 1
    assert re.search(r"in\.\w+: ends after \d+ of 20 frames", capsys.readouterr().err)


def test_what_is_no_video_is_named(demo, noise, tmp_path):
    source = tmp_path / "in.avi"
    source.write_text("no video")
    with pytest.raises(UserError, match=r"none.avi: there is no such file"):
        demo("--video-input", tmp_path / "none.avi", "--output", tmp_path / "out")
    with pytest.raises(UserError, match=r"in.avi: not a readable"):
        demo("--video-input", source, "--output", tmp_path / "out")
    with pytest.raises(UserError, match=r"must end in .avi, .mkv, .mp4"):
        demo("--video-input", source, "--output", tmp_path / "out.webm")
    with pytest.raises(UserError, match="replace its input"):
        demo("--video-input", source, "--output", source)
    assert source.read_text() == "no video"


def test_nothing_is_left_of_an_interrupted_video(tmp_path, demo):
    import video

    def detect(frame, index):
        if frame.mean() > 5:
            raise KeyboardInterrupt
        return frame

    source = write_video(tmp_path / "in.avi", shades(6))
    with pytest.raises(KeyboardInterrupt):
        video.process_video(str(source), detect, tmp_path / "out.mp4")
    assert [file.name for file in tmp_path.iterdir()] == ["in.avi"]
