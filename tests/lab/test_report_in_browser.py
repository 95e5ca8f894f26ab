"""The report in a browser without a window: what clicks and the pointer do."""

import pytest
from lab.report_html import write_html

from ..browser import needs_browser, opened, paper

pytestmark = needs_browser


@pytest.fixture
def page(results, tmp_path):
    report = tmp_path / "report.html"
    report.write_text(write_html(results, tmp_path), encoding="utf-8")
    with opened(report) as page:
        yield page


def shown(page, selector):
    return [
        e.get_attribute("data-arm") for e in page.query_selector_all(selector) if e.is_visible()
    ]


def test_clicks_and_hover(page):
    # One test: starting the browser takes longer than all the rest.
    rows = "table.results tbody tr"
    assert shown(page, rows) == ["one-to-one", "FCOS_co", "crashed"]
    heading = page.locator("table.results th button").nth(1)
    heading.click()
    assert shown(page, rows) == ["one-to-one", "FCOS_co", "crashed"]  # best first, none last
    heading.click()
    assert shown(page, rows) == ["FCOS_co", "one-to-one", "crashed"]
    assert page.locator("th[aria-sort=ascending]").count() == 1

    page.locator("#arms button", has_text="one-to-one").click()
    assert shown(page, rows) == ["FCOS_co", "crashed"]
    assert set(shown(page, "path.line[data-y]")) == {"FCOS_co"}
    page.locator("#sections button", has_text="(d)").click()
    assert shown(page, rows) == ["FCOS_co", "one-to-one"]
    assert set(shown(page, "figure.strip")) == {"one-to-one", "FCOS_co"}

    assert page.locator("#scene0").is_visible() and not page.locator("#scene1").is_visible()
    page.locator("#scenes button", has_text="scene_b").click()
    assert page.locator("#scene1").is_visible() and not page.locator("#scene0").is_visible()

    page.locator(f"{rows}[data-arm='FCOS_co'] td").nth(1).hover()
    assert "seed 1: 16\nseed 2: 17" in page.locator("#tip").inner_text()
    page.locator("svg.line").first.hover()
    assert "one-to-one: " in page.locator("#tip").inner_text()
    cursor = page.locator("svg.line .cursor").first
    assert cursor.get_attribute("d")
    page.locator("h1").hover()
    assert not cursor.get_attribute("d")

    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_print_has_every_scene(page):
    page.emulate_media(media="print")
    assert page.locator("#scene0").is_visible() and page.locator("#scene1").is_visible()
    assert not page.locator("#scenes").is_visible()


def test_dark_mode(page):
    page.emulate_media(color_scheme="light")
    assert paper(page) == "rgb(255, 255, 255)"
    page.emulate_media(color_scheme="dark")
    assert paper(page) == "rgb(23, 24, 26)"
