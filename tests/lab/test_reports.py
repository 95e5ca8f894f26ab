"""The reports as text: nothing from elsewhere, nothing unescaped, every number in its place."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from lab.charts import history_charts
from lab.columns import METRICS
from lab.report_html import PAGE, write_html
from lab.report_markdown import write_markdown
from lab.results_page import write_page
from lab.svg import BOTTOM, HEIGHT, RIGHT, TOP, WIDTH
from onenet.errors import UserError
from onenet.web import SHARED

VOID = {"meta", "img", "br", "hr", "link", "input"}


class Page(HTMLParser):
    """Collects the elements of a page, and checks that they are closed in order."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements, self.open, self.text = [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.text.append(data)

    def all(self, tag, **wanted):
        return [
            attrs
            for name, attrs in self.elements
            if name == tag and all(attrs.get(k) == v for k, v in wanted.items())
        ]

    def values(self, attribute):
        return [attrs[attribute] for _, attrs in self.elements if attribute in attrs]


@pytest.fixture
def page(results, tmp_path):
    return Page(write_html(results, tmp_path))


def test_the_page_needs_nothing_else(results, tmp_path):
    text = write_html(results, tmp_path)
    page = Page(text)
    sources = page.values("src")
    assert len(sources) == 4  # two scenes, two arms
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)
    assert not page.values("href")
    assert not page.all("link") and not page.all("iframe")
    assert not re.search(r"https?://|@import|url\(|fetch\(|XMLHttpRequest", text)


def test_what_users_wrote_is_escaped(page):
    text = "".join(page.text)
    for label in ("<FCOS> & co", "Which rule <needs> NMS?", "a <machine>", "0 <positives>"):
        assert label in text
    assert "RuntimeError: <out> of memory" in text
    assert {tag for tag, _ in page.elements} <= {
        *("html", "head", "meta", "title", "style", "body", "h1", "h2", "h3", "p", "pre", "code"),
        *(
            "b",
            "div",
            "button",
            "svg",
            "path",
            "circle",
            "text",
            "table",
            "thead",
            "tbody",
            "tr",
            "th",
            "td",
        ),
        *("small", "section", "figure", "figcaption", "img", "script"),
    }


def test_names_of_elements_and_arms_fit(page, results):
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    scenes = {attrs["data-scene"] for attrs in page.all("button") if "data-scene" in attrs}
    assert scenes == {"scene0", "scene1"} <= set(ids)
    folders = {arm["folder"] for arm in results["arms"]}
    assert set(page.values("data-arm")) == folders
    sections = [json.loads(text) for text in page.values("data-arms")]
    assert sections == [["one-to-one", "FCOS_co", "crashed"], ["one-to-one", "FCOS_co"]]


def test_every_value_is_in_the_table(page, results):
    rows = [
        i for i, (tag, attrs) in enumerate(page.elements) if tag == "tr" and "data-arm" in attrs
    ]
    assert len(rows) == 3
    cells = [attrs for tag, attrs in page.elements[rows[0] :] if tag == "td"]
    values = [cell["data-value"] for cell in cells[: 1 + len(METRICS)]]
    mean = results["arms"][0]["mean"]
    expected = ["" if mean[m.name] is None else repr(mean[m.name]) for m in METRICS]
    assert values == ["one-to-one", *expected]
    assert "seed 1: 59\nseed 2: 60" in cells[1]["data-tip"]
    assert len(page.all("th")) == 1 + len(METRICS)


def test_charts_have_a_line_for_each_arm_that_ran(page):
    lines = [attrs for attrs in page.all("path") if "data-y" in attrs]
    labels = [attrs["data-label"] for attrs in lines]
    assert labels == ["one-to-one", "<FCOS> & co"] * 6  # three of training, NMS, two of precision
    assert all(len(a["data-x"].split()) == len(a["data-y"].split()) for a in lines)
    assert all(a["d"].count("L") + 1 == len(a["data-x"].split()) for a in lines)
    assert len(page.all("path", **{"class": "bars dup"})) == 2


def test_charts_of_training_begin_at_zero_and_hold_their_bands(results):
    charts = dict(history_charts(results))
    assert {*charts} == {"total_loss", "bbox_AP", "dynamics_moved"}
    moved = charts["dynamics_moved"]  # 0.4 and 0.8, at the end alone
    x, *_ = re.search(r' d="M([\d.]+) ([\d.]+)"', moved).groups()
    assert float(x) == WIDTH - RIGHT
    band = re.search(r'class="band[^>]* d="M[\d.]+ ([\d.]+)L[\d.]+ ([\d.]+)Z"', moved)
    top, bottom = map(float, band.groups())
    assert TOP < top < bottom < HEIGHT - BOTTOM  # not cut off


def test_dynamics_have_a_place_of_their_own(results, tmp_path):
    assert Page(write_html(results, tmp_path)).all("h3", id="dynamics")
    del results["history"]["dynamics/moved"]
    assert not Page(write_html(results, tmp_path)).all("h3", id="dynamics")


def test_charts_are_well_formed_alone(results, tmp_path):
    folder = tmp_path
    (folder / "results.json").write_text(json.dumps(results))
    files = write_page(folder, folder / "docs.md")
    charts = [file for file in files if file.suffix == ".svg"]
    assert len(charts) == 4
    roots = {chart.stem: ElementTree.parse(chart).getroot() for chart in charts}
    assert {root.tag for root in roots.values()} == {"{http://www.w3.org/2000/svg}svg"}
    assert [x.text for x in roots["legend"].iterfind("{*}text")] == [
        arm["label"] for arm in results["arms"]
    ]


def test_markdown(results):
    text = write_markdown(results)
    assert "| one-to-one  | 59.5 (0.7) |" in text
    assert re.search(
        r"\| FCOS loses half \| \*\*holds\*\* \| 15\.00 to 15\.00; 2 of 2 seeds \|", text
    )
    assert re.search(r"\| <FCOS> & co +\| \*\*-43\.0\*\* \(p = 0\.00\d+\)", text)
    assert "inside the noise" in text  # the rule
    assert "crashed, seed 2: failed with exit code 1" in text
    assert "    RuntimeError: <out> of memory" in text
    assert "4 of 6 runs finished, evaluated on digits_val, at most 300 detections" in text


def test_a_page_of_documentation_names_files_that_are_there(results, tmp_path):
    (tmp_path / "results.json").write_text(json.dumps(results))
    page = tmp_path / "docs" / "results.md"
    page.parent.mkdir()
    written = write_page(tmp_path, page)
    links = re.findall(r"!\[[^]]*\]\(([^)]+)\)", page.read_text())
    assert len(links) == 6  # three charts, their legend, two pictures of the section
    assert {page.parent / link for link in links} == set(written) - {page}
    assert all(file.stat().st_size > 0 for file in written)


def test_no_results(tmp_path):
    with pytest.raises(UserError, match=r"run tools/ablate\.py first"):
        write_page(tmp_path, tmp_path / "page.md")


NODE = """
const { nearestIndex } = require(process.argv[1]);
const { compareCells } = require(process.argv[2]);
const sorted = (values, descending) =>
  [...values].sort((a, b) => compareCells(a, b, descending));
console.log(JSON.stringify([
  sorted(["10", "", "9.5", "-3"], false),
  sorted(["10", "", "9.5", "-3"], true),
  sorted(["b", "a", "c"], true),
  nearestIndex([0, 10, 20], 14),
  nearestIndex([0], 99),
]));
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_sorting():
    done = subprocess.run(
        ["node", "-e", NODE, str(PAGE / "report.js"), str(SHARED / "page.js")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == [
        ["-3", "9.5", "10", ""],
        ["10", "9.5", "-3", ""],
        ["c", "b", "a"],
        1,
        0,
    ]
