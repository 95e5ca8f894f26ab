"""A page of one file in a browser without a window."""

import shutil
from contextlib import contextmanager

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), "")
needs_browser = pytest.mark.skipif(not CHROMIUM, reason="there is no Chromium")


@contextmanager
def opened(file):
    """The page, opened without a network; an error or a request for anything else fails."""
    mistakes = []
    with playwright.sync_playwright() as program:
        browser = program.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_context(offline=True).new_page()
        page.on("pageerror", lambda error: mistakes.append(str(error)))
        page.on("request", lambda request: mistakes.append(request.url))
        page.goto(file.as_uri())
        yield page
        browser.close()
    own = [x for x in mistakes if not x.startswith(("data:", file.as_uri()))]
    assert own == []


def paper(page):
    """The colour behind everything."""
    return page.evaluate("getComputedStyle(document.body).backgroundColor")
