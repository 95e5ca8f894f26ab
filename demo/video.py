"""Videos and cameras for ``demo.py``: read, show, write."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

import cv2
import numpy as np
from onenet.errors import UserError
from onenet.files import complete_file
from outputs import make_folder
from tqdm import tqdm

CODECS = {".avi": "MJPG", ".mkv": "mp4v", ".mp4": "mp4v"}  # which OpenCV writes everywhere
DEFAULT_SUFFIX = ".mp4"
DEFAULT_FPS = 25.0  # where the source does not tell
LENGTH_TOLERANCE = 0.02  # what a file says of its length is an estimate, not a wrong one by more
CAMERA = 0
WINDOW = "detections (q to quit)"

# BGR image, its place among the inputs (and its name) -> BGR picture of what is in it, or None if
# that is kept elsewhere.
Detector = Callable[..., "np.ndarray | None"]
Sink = Callable[[np.ndarray], bool]  # takes a picture, and says whether there may be more


def require_display() -> None:
    """Make sure that pictures can be shown.

    Raises:
        UserError: they cannot, so they need a file to go to.
    """
    if re.search(r"GUI:\s+NONE", cv2.getBuildInformation()):
        raise UserError("this OpenCV is without windows (a headless build): say --output FOLDER")
    if sys.platform == "linux" and not {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys():
        raise UserError("there is no display to show pictures on: say --output FOLDER")


def show(picture: np.ndarray, wait: bool = False) -> bool:
    """Show a picture in a window.

    Args:
        picture: (H, W, 3) uint8, BGR.
        wait: until a key is pressed.

    Returns:
        False if that key was q or Esc.
    """
    cv2.imshow(WINDOW, picture)
    return cv2.waitKey(0 if wait else 1) & 0xFF not in (ord("q"), 27)


def process_video(path: str | None, detect: Detector, output: Path | None) -> list[str]:
    """Give each frame to ``detect``, and its picture to a video or a window.

    Args:
        path: a video file; None is the camera, which goes on until Ctrl-C.
        detect: frame, its number -> picture, or None where none is wanted.
        output: a video file or a folder; None is a window.

    Returns:
        What is wrong with the video; what came before is done.

    Raises:
        UserError: it cannot be opened, or not be written.
    """
    file = _output_file(path, output) if output else None
    if path is not None and not os.path.isfile(path):
        raise UserError(f"{path}: there is no such file")
    capture = cv2.VideoCapture(CAMERA if path is None else path)
    if not capture.isOpened():
        reason = "there is no camera" if path is None else f"{path}: not a readable, complete video"
        raise UserError(reason)
    fps = capture.get(cv2.CAP_PROP_FPS) or DEFAULT_FPS
    announced = max(0, int(capture.get(cv2.CAP_PROP_FRAME_COUNT)))
    stopped = False
    with (
        _video_file(file, fps) if file else nullcontext(show) as sink,
        tqdm(total=announced or None, unit="image") as bar,
        suppress(KeyboardInterrupt) if path is None else nullcontext(),
    ):
        for index, frame in enumerate(_frames(capture)):
            picture = detect(frame, index)
            stopped = picture is not None and not sink(picture)
            bar.update()
            if stopped:
                break
    if path is None:
        return [] if bar.n else ["the camera gives no pictures; is another program using it?"]
    if not stopped and _is_incomplete(bar.n, announced, fps):
        return [f"{path}: ends after {bar.n} of {announced} frames"]
    return []


def _is_incomplete(frames: int, announced: int, fps: float) -> bool:
    """Whether a video has fewer frames than it says: a second of them, or one in fifty."""
    tolerated = min(fps, max(1, announced * LENGTH_TOLERANCE))
    return frames == 0 or announced - frames > tolerated


def _frames(capture: cv2.VideoCapture) -> Iterator[np.ndarray]:
    try:
        while True:
            more, frame = capture.read()
            if not more:
                return
            yield frame
    finally:
        capture.release()


def _output_file(path: str | None, output: Path) -> Path:
    """The video to write: ``output`` itself, or one in that folder named after the input."""
    if output.suffix.lower() in CODECS and not output.is_dir():
        file = output
    elif output.suffix and not output.is_dir():
        raise UserError(f"--output {output}: a video must end in {', '.join(CODECS)}")
    else:
        file = output / f"{Path(path).stem if path else 'webcam'}{DEFAULT_SUFFIX}"
    if path is not None and file.resolve() == Path(path).resolve():
        raise UserError(f"--output {output}: the video would replace its input")
    make_folder(file.parent)
    return file


@contextmanager
def _video_file(file: Path, fps: float) -> Iterator[Sink]:
    """Write pictures of one size into a video, which appears under its name when it is complete."""
    writer = cv2.VideoWriter()

    def write(picture: np.ndarray) -> bool:
        size = (picture.shape[1], picture.shape[0])
        codec = cv2.VideoWriter_fourcc(*CODECS[file.suffix.lower()])
        if not writer.isOpened() and not writer.open(str(partial), codec, fps, size):
            raise UserError(f"cannot write a video of {size[0]} x {size[1]} pixels to {file}")
        writer.write(picture)
        return True

    with complete_file(file) as partial:
        try:
            yield write
        finally:
            writer.release()
