import gzip
import runpy
from pathlib import Path

import cv2
import numpy as np
import pytest
from onenet.errors import UserError

pytest.importorskip("onnxscript")
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tool():
    return runpy.run_path(str(ROOT / "tools" / "build_web_demo.py"))


@pytest.fixture
def runtime(tmp_path, tool):
    """What stands for the runtime, which only npm can install."""
    folder = tmp_path / "runtime"
    folder.mkdir()
    for name in tool["MODULES"]:
        (folder / name).write_text("// module")
    (folder / tool["BINARY"]).write_bytes(b"binary")
    return folder


def test_the_site_holds_all_that_the_page_loads(tool, runtime, model_file, tmp_path, capsys):
    image, site = tmp_path / "a.png", tmp_path / "deep" / "site"
    cv2.imwrite(str(image), np.full((4, 6, 3), 7, np.uint8))
    arguments = ["--model", str(model_file()), "--image", str(image), "--output", str(site)]
    tool["main"](arguments, runtime)
    assert "0.0 MB" in capsys.readouterr().out
    names = {file.name for file in site.iterdir()}
    page = "".join((site / name).read_text() for name in tool["SOURCES"])
    assert all(name in page for name in names - {"index.html", tool["MODULES"][1]})
    assert gzip.decompress((site / "ort-wasm-simd-threaded.wasm.gz").read_bytes()) == b"binary"
    assert cv2.imread(str(site / "sample.png")).shape == (4, 6, 3)


def test_a_site_that_would_be_too_large_is_not_written(
    tool, runtime, model_file, tmp_path, monkeypatch
):
    monkeypatch.setitem(tool["check_size"].__globals__, "MAX_BYTES", 5_000)
    image, site = tmp_path / "a.png", tmp_path / "site"
    cv2.imwrite(str(image), np.full((4, 6, 3), 7, np.uint8))
    arguments = ["--model", str(model_file()), "--image", str(image), "--output", str(site)]
    with pytest.raises(UserError, match=r"MB of at most .* of them app.js"):
        tool["main"](arguments, runtime)
    assert not site.exists()


def test_what_is_missing_is_named(tool, runtime, model_file, tmp_path):
    (tmp_path / "junk.onnx").write_text("junk")
    arguments = ["--model", str(tmp_path / "junk.onnx"), "--output", str(tmp_path / "site")]
    with pytest.raises(UserError, match="junk.onnx: not a model"):
        tool["main"](arguments, runtime)
    with pytest.raises(UserError, match="npm install --prefix demo/web"):
        tool["main"](arguments, tmp_path)
