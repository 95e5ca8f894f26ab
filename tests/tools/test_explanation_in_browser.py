"""The page of explanations in a browser without a window: what it says is what Python says."""

import runpy
from pathlib import Path

import onenet  # noqa: F401  (makes an old Detectron2 importable)
import pytest
import torch

# isort: split
from assigners import add_assigners_config
from detectron2.modeling import build_model
from onenet.data.annotated import annotated_mapper, annotated_records
from onenet.engine import setup_cfg
from onenet.inspection.subjects import build_variant, load_moment
from onenet.visualization.explanation import explain_scene

from ..browser import needs_browser, opened, paper

pytestmark = needs_browser
ROOT = Path(__file__).parents[2]
MAIN = runpy.run_path(str(ROOT / "tools" / "explain_assignment.py"))["main"]
CONFIG = ROOT / "configs" / "digits" / "onenet_fcos_R18_digits.yaml"
RULES = ["FCOS", "MaxIoU", "MinCost:ASSIGNER.SOLVER=hungarian"]
MOMENTS = {"before training": "untrained", "after training": "trained.pth"}


@pytest.fixture(scope="module")
def files(few_digits, tmp_path_factory):
    """The page of two images, and what it was made from."""
    folder = tmp_path_factory.mktemp("page")
    cfg = setup_cfg(str(CONFIG), ["MODEL.DEVICE", "cpu"], [add_assigners_config])
    torch.manual_seed(0)
    torch.save({"model": build_model(cfg).state_dict()}, folder / "trained.pth")
    weights = {k: w if w == "untrained" else str(folder / w) for k, w in MOMENTS.items()}
    images = few_digits / "digits" / "val"
    inputs = [str(images / f"00000{i}.png") for i in (0, 1)]
    annotations = str(few_digits / "digits" / "annotations" / "digits_val.json")
    MAIN(
        ["--config-file", str(CONFIG), "--input", *inputs, "--annotations", annotations]
        + ["--assigners", *RULES, "--summary", "--output-dir", str(folder)]
        + ["--weights-before", "untrained", "--weights", weights["after training"]]
    )
    criteria = {rule: build_variant(cfg, rule) for rule in RULES}
    models = {title: load_moment(cfg, w) for title, w in weights.items()}
    records = annotated_records(inputs, annotations, cfg.MODEL.OneNet.NUM_CLASSES)
    mapper = annotated_mapper(cfg)
    scenes = [explain_scene(models, mapper(record), criteria, "RGB") for record in records]
    return folder / "explanation.html", scenes


@pytest.fixture
def page(files):
    with opened(files[0]) as page:
        page.wait_for_selector("body[data-ready]")
        yield page


def view_of(scene, rule, moment):
    """Its number on the page, and its explanation."""
    numbered = {(view.rule, view.moment): (i, view) for i, view in enumerate(scene.views)}
    number, view = numbered[rule, moment]
    return str(number), view.explanation


def show(page, scene, left, right):
    """Choose what is on both sides; returns the explanations."""
    explanations = []
    for side, (rule, moment) in {"left": left, "right": right}.items():
        number, explanation = view_of(scene, rule, moment)
        page.locator(f"#{side}").select_option(number)
        explanations.append(explanation)
    return explanations


def click_at(page, point, scene, side="left", kind="click"):
    """Click or point at a place in pixels of the image."""
    svg = page.locator(f".side[data-side={side}] svg")
    svg.scroll_into_view_if_needed()
    box = svg.bounding_box()
    scale = box["width"] / scene.image.shape[1]
    place = box["x"] + point[0] * scale, box["y"] + point[1] * scale
    getattr(page.mouse, {"click": "click", "hover": "move"}[kind])(*place)


def rows(page):
    """The numbers of the samples in the table, and the texts of their cells."""
    cells = page.locator("#candidates tbody tr").evaluate_all(
        "(rows) => rows.map((row) => [...row.cells].map((cell) => cell.textContent))"
    )
    return {int(row[0]): row[1:] for row in cells}


def reason(explanation, gt, sample):
    failed = int(explanation.first_failed[0, gt, sample])
    lines = explanation.describe(gt, sample)
    return "positive" if failed == len(lines) else lines[failed]


def test_the_reasons_are_those_of_python(page, files):
    # One test: starting the browser takes longer than all the rest.
    html, (first, second) = files
    assert html.stat().st_size < 5_000_000
    page.locator("#images button").nth(1).click()
    views = show(page, second, ("FCOS", "after training"), ("MaxIoU", "after training"))
    page.wait_for_function("document.querySelector('.side svg').ariaLabel.startsWith('000001')")

    box = second.gt.boxes[0, 1]
    click_at(page, ((box[:2] + box[2:]) / 2).tolist(), second)
    assert page.locator("#chosen").inner_text().startswith("object 2 (")
    page.locator("#levels button", has_text="all levels").click()
    page.locator("#more").click()
    told = rows(page)
    assert set(told) == set(range(len(second.priors)))  # a small image has room for all
    for sample, cells in told.items():
        for cell, explanation in zip(cells[3:5], views, strict=True):
            expected = reason(explanation, 1, sample)
            assert cell == expected or cell.startswith(f"{expected} (goes to ")

    difference = (views[0].positive[0, 1] != views[1].positive[0, 1]).sum()
    assert page.locator(".side circle.ring").count() == 2 * difference > 0
    assert f"{difference} differ" in page.locator("figcaption").first.inner_text()
    assert page.locator("tr.differs").count() == difference


def test_a_sample_tells_all_that_is_known_of_it(page, files):
    _, (scene, _) = files
    rule = "MinCost:ASSIGNER.SOLVER=hungarian"
    before, after = show(page, scene, (rule, "before training"), (rule, "after training"))
    page.locator("#objects button").first.click()
    sample = int(after.positive[0, 0].nonzero()[0, 0])
    level = int(scene.priors.level[sample])
    page.locator("#levels button", has_text=f"level {level} ").click()
    assert {cells[0] for cells in rows(page).values()} == {str(level)}
    point = scene.priors.points[sample].tolist()
    click_at(page, point, scene, "right", "hover")
    details = page.locator("#details")
    assert f"Sample {sample}, level {level}" in details.inner_text()
    for block, explanation in zip(details.locator(".view").all(), (before, after), strict=True):
        assert block.locator("li").all_inner_texts() == explanation.describe(0, sample)
    label = scene.gt.labels[0, 0].item()
    assert f"positive for 1 ({label})" in details.locator(".verdict").nth(1).inner_text()
    assert page.locator(".pointed .predicted").count() == 2

    click_at(page, point, scene, "right")  # it stays
    page.locator("h1").hover()
    assert "kept" in details.inner_text()
    page.keyboard.press("Escape")
    assert "Point at a sample" in details.inner_text()
    page.locator("#candidates tbody tr").first.focus()
    assert "Sample" in details.inner_text()

    heading = page.locator("th button", has_text="rank of the cost").first
    heading.click()
    heading.click()
    assert page.locator("th[aria-sort=ascending]").count() == 1
    ranks = before.quantities["rank of the cost"][0, 0, list(rows(page))]
    assert (ranks.diff() >= 0).all()
    page.keyboard.press("Escape")
    assert not page.locator("#candidates").is_visible()


def test_who_wanted_a_sample_and_who_got_it(page, files):
    _, (scene, _) = files
    (explanation, _) = show(page, scene, *[("FCOS", "after training")] * 2)
    sample = int(explanation.wanted[0].sum(dim=0).argmax())
    click_at(page, scene.priors.points[sample].tolist(), scene, kind="hover")
    wanting = explanation.wanted[0, :, sample].nonzero()[:, 0].tolist()
    labels = scene.gt.labels[0].tolist()
    text = ", ".join(f"{gt + 1} ({labels[gt]})" for gt in wanting)
    assert f"wanted by: {text}" == page.locator("#details .wanted").first.inner_text()
    owner = int(explanation.verdict[0, sample])
    assert f"positive for {owner + 1} ({labels[owner]})" in page.locator("#details").inner_text()


def test_dark_narrow_and_printed(page):
    page.emulate_media(color_scheme="light")
    assert paper(page) == "rgb(255, 255, 255)"
    page.emulate_media(color_scheme="dark")
    assert paper(page) == "rgb(23, 24, 26)"
    page.set_viewport_size({"width": 390, "height": 800})
    page.locator("#objects button").first.click()
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.emulate_media(media="print")
    assert not page.locator("#images").is_visible()
    assert page.locator("#candidates tbody tr").first.is_visible()
    assert page.locator("table.coverage").count() == 3
