import json
import re
import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOL = ROOT / "tools" / "explain_assignment.py"


@pytest.fixture
def run(monkeypatch, capsys):
    """Run the tool in this process; returns what it wrote to stdout."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", [str(TOOL), *map(str, arguments)])
        runpy.run_path(str(TOOL), run_name="__main__")
        return capsys.readouterr().out

    return run


@pytest.fixture
def digits(few_digits):
    """Arguments for the first scenes of the digits."""
    folder = few_digits / "digits"
    return ["--input", folder / "val", "--annotations", folder / "annotations" / "digits_val.json"]


def report(folder):
    content = json.loads((folder / "coverage.json").read_text())
    del content["command"]
    return content


def test_summary_without_a_network_is_that_with_one(run, config, digits, tmp_path):
    rules = ["--assigners", "FCOS", "ATSS", "MaxIoU", "CenterNet"]
    arguments = ["--summary", "--config-file", config, *digits, *rules]
    told = run(*arguments, "--output-dir", tmp_path / "a")
    run(*arguments, "--output-dir", tmp_path / "b", "--weights", "untrained")
    assert report(tmp_path / "a") == report(tmp_path / "b")
    boxes = json.loads(Path(digits[3]).read_text())["annotations"]
    everything = report(tmp_path / "a")["groups"][0]
    assert (everything["by"], everything["objects"]) == ("all", len(boxes))
    assert "\n| all " in told
    assert everything["rules"]["CenterNet"]["without"] == 0


def test_summary_of_what_rules_make_of_predictions(run, config, digits, tmp_path):
    run(
        "--summary", "--config-file", config, *digits, "--assigners", "MinCost", "TAL",
        "--weights", "untrained", "--output-dir", tmp_path / "out", "--max-images", 2,
    )  # fmt: skip
    content = report(tmp_path / "out")
    assert content["images"] == 4  # of which two are on the page
    objects = content["groups"][0]["objects"]
    assert content["rules"]["MinCost"]["histogram"] == [[0, 0, 0], [1, 1, objects]]


def test_a_page_needs_nothing_else(run, config, digits, tmp_path):
    told = run(
        "--config-file", config, *digits, "--max-images", 1, "--output-dir", tmp_path / "out"
    )
    page = tmp_path / "out" / "explanation.html"
    assert f"The page is {page}" in told
    assert [file.name for file in page.parent.iterdir()] == [page.name]
    text = page.read_text()
    assert not re.findall(r"(?:src|href)=.?(?!data:)[a-z/]", text)
    assert len(re.findall("data-image=", text)) == 1
    assert "MinCost" in text  # the rule of the config


def test_a_page_without_objects(run, config, few_digits, tmp_path):
    image = few_digits / "digits" / "val" / "000000.png"
    coco = {
        "images": [{"id": 1, "file_name": image.name, "height": 160, "width": 160}],
        "annotations": [],
        "categories": [{"id": i, "name": str(i)} for i in range(10)],
    }
    (tmp_path / "none.json").write_text(json.dumps(coco))
    arguments = ["--config-file", config, "--input", image, "--annotations", tmp_path / "none.json"]
    run(*arguments, "--output-dir", tmp_path / "out")
    assert (tmp_path / "out" / "explanation.html").exists()
    with pytest.raises(SystemExit):
        run(*arguments, "--summary", "--assigners", "FCOS", "--output-dir", tmp_path / "none")


MISTAKES = {
    "no predictions": (
        ["--summary", "--assigners", "FCOS", "MinCost"],
        '"MinCost" looks at predictions',
    ),
    "before without after": (["--weights-before", "untrained"], "needs --weights"),
    "unknown rule": (["--assigners", "MinCosts"], '"MinCosts". Did you mean "MinCost"?'),
    "no weights": (["--weights", "no.pth"], 'there is no file of weights "no.pth"'),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_told_before_anything_is_written(
    run, config, digits, tmp_path, capsys, mistake
):
    arguments, message = MISTAKES[mistake]
    with pytest.raises(SystemExit):
        run("--config-file", config, *digits, *arguments, "--output-dir", tmp_path / "out")
    error = capsys.readouterr().err.splitlines()[-1]
    assert "error: " in error
    assert message in error
    assert not (tmp_path / "out").exists()
