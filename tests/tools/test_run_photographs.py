"""tools/run_photographs.py: two detectors, and what is said of them."""

import json
from pathlib import Path

import pytest
from onenet import add_onenet_config  # noqa: F401  (before Detectron2, which it makes importable)

# isort: split
import numpy as np
import torch
from detectron2.structures import Boxes, Instances
from onenet.evaluation.nms_evaluator import NMS_IOU
from onenet.visualization import Scene

TOOLS = Path(__file__).parents[2] / "tools"


@pytest.fixture
def tool(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    monkeypatch.chdir(tmp_path)
    import run_photographs

    return run_photographs


def test_both_train_and_keys_are_for_both(tool, monkeypatch):
    args = tool.parse_args(["--output-dir", "out", "SOLVER.MAX_ITER", "300"])
    trained, ended = [], []
    monkeypatch.setattr(tool, "free_output_folder", lambda cfg: None)
    monkeypatch.setattr(tool, "check_datasets_available", lambda names: None)
    monkeypatch.setattr(tool, "train", lambda *arguments: trained.append(arguments) or {})
    monkeypatch.setattr(tool, "look_at_whole", lambda cfg, *_, **options: (cfg, options))
    monkeypatch.setattr(tool, "draw", lambda *_: [])
    monkeypatch.setattr(tool, "draw_gallery", lambda cfg: [cfg.OUTPUT_DIR])
    monkeypatch.setattr(tool, "row", lambda *arguments: {"outcome": arguments[-1]})
    monkeypatch.setattr(tool, "finish", lambda *arguments: ended.append(arguments))
    tool.main(["--output-dir", "out", "SOLVER.MAX_ITER", "300"])

    first, rival = (cfg for _, _, _, cfg, _ in trained)
    assert first.SOLVER.MAX_ITER == rival.SOLVER.MAX_ITER == 300
    assert (first.OUTPUT_DIR, rival.OUTPUT_DIR) == ("out/selector", "out/fcos")
    assert first.MODEL.OneNet.SELECTOR.ENABLED and not rival.MODEL.OneNet.SELECTOR.ENABLED
    assert rival.MODEL.OneNet.ASSIGNER.NAME == "FCOS"
    # What train_net.py is told makes the same configs.
    for _, file, opts, cfg, _ in trained:
        again = tool.setup_cfg(file, opts, add_configs=[tool.add_assigners_config])
        assert again.dump() == cfg.dump()
    assert ended[0][0] == Path("out/summary.md") and str(args.output_dir) == "out"
    assert ended[0][2] == ["out/selector", "out/fcos"]


def outcome(tool, *boxes):
    boxes = Boxes(torch.tensor(boxes).reshape(-1, 4))
    classes = torch.zeros(len(boxes), dtype=torch.int64)
    found = Instances(
        (80, 120), pred_boxes=boxes, pred_classes=classes, scores=torch.ones(len(boxes))
    )
    truth = Instances((80, 120), gt_boxes=boxes, gt_classes=classes)
    scene = Scene("detector", np.zeros((80, 120, 3), np.uint8), truth, found)
    return tool.Outcome({"AP": 7.25, "AP50": 30.0}, [scene], 0.3)


def test_a_row_has_what_each_is_made_for(tool):
    results = {"bbox/AP": 1.0, "bbox/AP50": 2.0, "bbox_nms/AP": 3.0, "bbox_nms/AP50": 4.0}
    args = tool.parse_args(["--output-dir", "out", "SOLVER.MAX_ITER", "100"])
    cells = []
    for detector in tool.DETECTORS:
        cfg = tool.config(detector, args)
        Path(cfg.OUTPUT_DIR).mkdir(parents=True)
        Path(cfg.OUTPUT_DIR, "metrics.json").write_text(json.dumps({"iteration": 99, "time": 3.0}))
        cells.append(tool.row(detector, cfg, results, outcome(tool)))
    assert [cell["AP on tiles"] for cell in cells] == ["1.0", "3.0"]
    assert [cell["AP50 on tiles"] for cell in cells] == ["2.0", "4.0"]
    assert cells[0]["AP on the whole photograph"] == "7.2" and cells[0]["training"] == "5 min 00 s"
    assert all(cell["detector"] in tool.summarize(cells) for cell in cells)


def test_pictures(tool):
    outcomes = {"a": outcome(tool, [10.0, 10, 40, 40]), "b": outcome(tool)}
    files = tool.draw(Path("pictures"), outcomes)
    assert [file.name for file in files] == ["comparison.png", "a.png", "b.png"]
    assert all(file.stat().st_size > 1000 for file in files)


def test_nms_has_the_candidates_of_an_evaluation(tool):
    from whole_pictures import with_nms

    cfg = tool.config(tool.DETECTORS[1], tool.parse_args([]))
    changed = with_nms(cfg)
    assert (changed.MODEL.OneNet.NMS, changed.MODEL.OneNet.NMS_THRESH) == (True, NMS_IOU)
    assert changed.TEST.DETECTIONS_PER_IMAGE == 1000
    assert not cfg.MODEL.OneNet.NMS
