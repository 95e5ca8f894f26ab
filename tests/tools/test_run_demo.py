"""tools/run_demo.py: one small run, and what becomes of it when it is asked for again."""

import json
import re
import runpy
from pathlib import Path

import pytest
from onenet import add_onenet_config  # before Detectron2, which it makes importable

# isort: split
from detectron2.config import get_cfg

TOOL = Path(__file__).parents[2] / "tools" / "run_demo.py"

TINY = Path(__file__).parents[1] / "tiny_train.yaml"
CONFIG = f'_BASE_: "{TINY}"\nOUTPUT_DIR: "output/tiny"\nVERSION: 2\n'


FILES = ["summary.md", *(f"pictures/{name}.png" for name in ("detections", "curves", "positives"))]


@pytest.fixture(scope="module")
def run(run_python, tmp_path_factory):
    """Run the tool as a program, each time in the same folder; gives what it printed."""
    folder = tmp_path_factory.mktemp("demo")
    (folder / "tiny.yaml").write_text(CONFIG)

    def run():
        done = run_python(folder, TOOL, "--config-file", "tiny.yaml")
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run.output = folder / "output" / "tiny"
    return run


def test_a_second_run_has_nothing_to_do(run):
    printed = run()
    assert "2/3 Training for 3 iterations" in printed
    assert "--config-file tiny.yaml --resume" in printed
    assert "Starting training from iteration 0" in printed
    assert "3/3 Drawing pictures" in printed
    assert re.search(r"\| AP without NMS +\| AP with NMS +\| NMS gap +\|", printed)
    assert "run_demo.py --config-file" in printed and "onenet_R18_digits_selector.yaml" in printed
    written = {name: (run.output / name).stat().st_mtime_ns for name in ["metrics.json", *FILES]}

    printed = run()
    assert f"Trained and evaluated already. To start over: rm -r {Path('output/tiny')}" in printed
    assert "Starting training" not in printed
    assert "3/3 The pictures are there" in printed
    assert (run.output / "summary.md").read_text() in printed
    unchanged = [name for name in written if name != "summary.md"]
    assert all((run.output / name).stat().st_mtime_ns == written[name] for name in unchanged)


def test_the_summary_has_what_matters(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(TOOL.parent))
    cfg = get_cfg()
    add_onenet_config(cfg)
    cfg.OUTPUT_DIR, cfg.SOLVER.MAX_ITER, cfg.DATASETS.TEST = str(tmp_path), 100, ("digits_val",)
    results = {"bbox/AP": 1.0, "bbox_nms/AP": 3.0, "nms_diagnosis/nms_gap": 2.0}
    results |= {"nms_diagnosis/duplicates": 1.25, "nms_diagnosis/score_gap": 0.5}
    (tmp_path / "metrics.json").write_text(json.dumps({"iteration": 99, "time": 0.75}))
    summary = runpy.run_path(str(TOOL))["summarize"](cfg, "a.yaml", results)
    title, _, header, _, row, *_ = summary.splitlines()
    assert title == "# a.yaml, 100 iterations, digits_val"
    names, values = (
        [cell.strip() for cell in line.strip("|").split("|")] for line in (header, row)
    )
    assert dict(zip(names, values, strict=True)) == {
        "AP without NMS": "1.0",
        "AP with NMS": "3.0",
        "NMS gap": "+2.0",
        "detections per found object": "1.25",
        "score gap": "0.50",
        "training": "1 min 15 s",
    }
