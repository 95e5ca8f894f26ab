import json
import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from onenet.engine import setup_cfg

# isort: split
from detectron2.modeling import build_model

ROOT = Path(__file__).parents[2]
TOOL = ROOT / "tools" / "visualize_assignment.py"
SIDE = 120  # of a panel, pixels


@pytest.fixture
def run(monkeypatch, capsys):
    """Run the tool in this process; returns what it wrote to stderr."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", [str(TOOL), *map(str, arguments)])
        runpy.run_path(str(TOOL), run_name="__main__")
        return capsys.readouterr().err

    return run


@pytest.fixture
def weights(config, tmp_path):
    """Save weights of the tiny detector, or of one with other keys."""

    def save(name, *options):
        torch.manual_seed(0)
        model = build_model(setup_cfg(str(config), [*options, "MODEL.DEVICE", "cpu"]))
        for parameter in model.parameters():
            parameter.data += 0.05
        torch.save({"model": model.state_dict()}, tmp_path / name)
        return tmp_path / name

    return save


@pytest.fixture
def digits(few_digits):
    """Arguments for the first scenes of the digits."""
    folder = few_digits / "digits"
    return ["--input", folder / "val", "--annotations", folder / "annotations" / "digits_val.json"]


def panels(picture):
    """Columns and rows of a picture, as far as its size tells."""
    height, width = cv2.imread(str(picture)).shape[:2]
    return width // SIDE, height // (SIDE + 26)


def test_every_image_gets_a_picture_of_all_rules(run, config, digits, tmp_path):
    out = tmp_path / "out"
    rules = ["MinCost", "CenterNet", "MinCost:ASSIGNER.SOLVER=hungarian,CLASS_COST=0"]
    progress = run(
        "--config-file", config, *digits, "--assigners", *rules, "--output-dir", out,
        "--side", SIDE, "--max-images", 2, "--priors",
    )  # fmt: skip
    assert [path.name for path in sorted(out.iterdir())] == ["000000.png", "000001.png"]
    assert panels(out / "000000.png")[0] == 3
    assert "2/2" in progress


def test_before_and_after_training_are_below_each_other(run, config, digits, weights, tmp_path):
    run(
        "--config-file", config, *digits, "--weights", weights("final.pth"),
        "--weights-before", "untrained", "--output-dir", tmp_path / "out", "--side", SIDE,
        "--max-images", 1, "--format", "jpg",
    )  # fmt: skip
    picture = cv2.imread(str(tmp_path / "out" / "000000.jpg"))
    cell = SIDE + 26
    before, after = picture[26:cell], picture[26 + cell : 2 * cell]
    assert np.abs(before.astype(int) - after).max() > 100


def test_a_registered_dataset(run, config, digits, tmp_path):
    _, images, _, annotations = digits
    mine = f"[['mine', '{annotations}', '{images}']]"
    run(
        "--config-file", config, "--input", "mine", "--output-dir", tmp_path / "out",
        "--side", SIDE, "--opts", "DATASETS.REGISTER", mine,
    )  # fmt: skip
    assert len(list((tmp_path / "out").iterdir())) == 4


def test_an_image_without_objects(run, config, few_digits, tmp_path):
    images = few_digits / "digits" / "val"
    coco = {
        "images": [{"id": 1, "file_name": "000000.png", "height": 160, "width": 160}],
        "annotations": [],
        "categories": [{"id": i, "name": str(i)} for i in range(10)],
    }
    (tmp_path / "none.json").write_text(json.dumps(coco))
    run(
        "--config-file", config, "--input", images / "000000.png", "--annotations",
        tmp_path / "none.json", "--assigners", "MinCost", "ATSS", "MaxIoU", "FCOS", "CenterNet",
        "--output-dir", tmp_path / "out", "--side", SIDE,
    )  # fmt: skip
    assert panels(tmp_path / "out" / "000000.png")[0] == 5


MISTAKES = {
    "small panels": (["--side", 0], "--side: 0 is below 64"),
    "unknown rule": (["--assigners", "MinCosts"], '"MinCosts". Did you mean "MinCost"?'),
    "unknown key": (["--assigners", "MinCost:CLAS_COST=0"], "MODEL.OneNet.CLASS_COST"),
    "no value": (["--assigners", "MinCost:CLASS_COST"], '"CLASS_COST" must be KEY=VALUE'),
    "no weights": (["--weights", "no.pth"], 'there is no file of weights "no.pth"'),
    "before without after": (["--weights-before", "untrained"], "needs --weights"),
    "no images": (["--max-images", 0], "--max-images: 0 is below 1"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_told_before_anything_is_drawn(run, config, digits, tmp_path, capsys, mistake):
    arguments, message = MISTAKES[mistake]
    with pytest.raises(SystemExit):
        run("--config-file", config, *digits, *arguments, "--output-dir", tmp_path / "out")
    error = capsys.readouterr().err.splitlines()[-1]
    assert "error: " in error
    assert message in error
    assert not (tmp_path / "out").exists()


def test_weights_of_another_head_are_refused(run, config, digits, weights, tmp_path, capsys):
    other = weights("other.pth", "MODEL.OneNet.DECONV_CHANNEL", "[64, 16, 16, 8]")
    with pytest.raises(SystemExit):
        run("--config-file", config, *digits, "--weights", other, "--output-dir", tmp_path / "out")
    assert f'error: the weights "{other}" are of another model' in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_images_need_annotations(run, config, digits, capsys):
    with pytest.raises(SystemExit):
        run("--config-file", config, "--input", digits[1])
    assert "images need --annotations" in capsys.readouterr().err
