"""The page in headless Chromium."""

import functools
import http.server
import runpy
import shutil
import threading
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
from onenet.predict import OnnxPredictor

pytest.importorskip("onnx")
playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
BUILD = runpy.run_path(str(Path(__file__).parents[2] / "tools" / "build_web_demo.py"))
READY_MS = 120_000
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here"),
    pytest.mark.skipif(not BUILD["RUNTIME"].is_dir(), reason="npm install --prefix demo/web"),
]


class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@contextmanager
def serve(model, sample, folder):
    """Build the site, and give its address."""
    BUILD["main"](["--model", str(model), "--image", str(sample), "--output", str(folder)])
    handler = functools.partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def site(model_file, tmp_path_factory):
    """The address of the page with the tiny model, and a bright sample."""
    folder = tmp_path_factory.mktemp("site")
    sample = folder / "bright.png"
    cv2.imwrite(str(sample), np.full((40, 60, 3), 220, np.uint8))
    with serve(model_file(), sample, folder / "site") as address:
        yield address


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser, site):
    """The page after it has shown the sample; nothing may go wrong in it."""
    problems = []
    page = browser.new_page()
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(site)
    expect_status(page, "sample: 1 found")
    yield page
    page.close()
    assert not problems


def expect_status(page, text):
    status = page.locator("p[role=status]")
    playwright.expect(status).to_contain_text(text, timeout=READY_MS)


def table(page):
    rows = [row.split("\t") for row in page.locator("table").inner_text().splitlines()]
    return [
        {"name": name, "score": float(score), "box": list(map(float, box))}
        for name, score, *box in rows
    ]


def test_it_finds_in_an_image_what_python_finds(page, model_file, tmp_path):
    image = np.full((30, 45, 3), 240, np.uint8)
    cv2.imwrite(str(tmp_path / "mine.png"), image)
    page.set_input_files("#image", tmp_path / "mine.png")
    expect_status(page, "mine.png: 1 found")
    found = OnnxPredictor(model_file(), threshold=0.4)(image)
    (shown,) = table(page)
    assert shown["score"] == pytest.approx(found.scores[0], abs=1e-3)
    np.testing.assert_allclose(shown["box"], found.boxes[0], atol=0.1)
    assert shown["name"] == "bright"


def test_boxes_are_drawn_and_the_threshold_decides_which(page):
    before = page.locator("canvas").screenshot()
    page.locator("#threshold").fill("1")
    expect_status(page, "sample: 0 found")
    assert page.locator("canvas").screenshot() != before
    page.locator("#threshold").fill("0.4")
    expect_status(page, "sample: 1 found")
    assert page.locator("canvas").screenshot() == before


def test_what_cannot_be_used_is_named_and_the_page_goes_on(page, model_file, tmp_path):
    for name in ("broken.png", "broken.onnx"):
        (tmp_path / name).write_bytes(b"nothing")
    page.set_input_files("#image", tmp_path / "broken.png")
    expect_status(page, "broken.png: not an image that this browser can read")
    page.set_input_files("#model", tmp_path / "broken.onnx")
    expect_status(page, "broken.onnx: not a model of this project")
    page.set_input_files("#model", model_file())
    expect_status(page, "sample: 1 found")


def test_a_trained_model_detects_the_same(
    browser, trained_model, scenes, expected, assert_same, tmp_path
):
    classes = {name: label for label, name in enumerate(OnnxPredictor(trained_model).class_names)}
    page = browser.new_page()
    with serve(trained_model, scenes[0], tmp_path / "site") as address:
        page.goto(address)
        expect_status(page, "sample: ")
        page.locator("#threshold").fill("0.2")
        for file, found in zip(scenes, expected, strict=True):
            page.set_input_files("#image", file)
            expect_status(page, f"{file.name}: ")
            mine = [(classes[x["name"]], x["score"], x["box"]) for x in table(page)]
            assert_same(found, mine, 2e-3, 0.1)  # its weights are halved, and it prints few digits
    page.close()
