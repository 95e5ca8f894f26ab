"""What an evaluation with and without NMS leaves behind: results, a log and files."""

import json
import logging

import pytest
from detectron2.config import get_cfg
from detectron2.evaluation import print_csv_format, verify_results
from detectron2.evaluation.testing import flatten_results_dict
from onenet.evaluation import build_evaluator

from .scenes import evaluate


def test_verify_results_and_csv_accept_it(dataset, tmp_path, caplog):
    cfg = get_cfg()
    cfg.OUTPUT_DIR = str(tmp_path)
    results = evaluate(build_evaluator(cfg, dataset))
    cfg.TEST.EXPECTED_RESULTS = [
        ["bbox", "AP", 100.0, 0.1],
        ["bbox_nms", "AP", 100.0, 0.1],
        ["nms_diagnosis", "nms_gap", 0.0, 0.1],
    ]
    assert verify_results(cfg, results)
    cfg.TEST.EXPECTED_RESULTS = [["nms_diagnosis", "duplicates", 3.0, 0.1]]
    with pytest.raises(SystemExit):
        verify_results(cfg, results)
    with caplog.at_level(logging.INFO, logger="detectron2"):
        print_csv_format(results)
    assert "nms_gap,duplicates,score_gap" in caplog.text
    assert all(isinstance(value, float) for value in flatten_results_dict(results).values())


def test_log_is_two_tables_and_a_line(evaluator, caplog, capsys):
    with caplog.at_level(logging.INFO):
        evaluate(evaluator, repeats=2)
    assert capsys.readouterr().out == ""
    assert caplog.text.count("Per-category bbox AP") == 1
    summary, objects = (record.getMessage() for record in caplog.records[-2:])
    assert "| as trained " in summary and "| with NMS 0.6 " in summary
    assert summary.count("AP50") == 1
    assert "detections per found ground truth" in summary.splitlines()[-1]
    assert "with NMS 0.6 after top-k, down to 0 false detections" in objects
    twice = next(line for line in objects.splitlines() if line.startswith("| found twice"))
    assert [cell.strip() for cell in twice.split("|")[2:4]] == ["100.00", "0.00"]
    assert logging.getLogger("detectron2.evaluation").level == logging.NOTSET


def test_files(dataset, tmp_path):
    cfg = get_cfg()
    cfg.OUTPUT_DIR = str(tmp_path)
    cfg.DATASETS.TEST = (dataset,)
    results = evaluate(build_evaluator(cfg, dataset), repeats=2)
    names = {str(x.relative_to(tmp_path / "inference")) for x in tmp_path.glob("inference/**/*.*")}
    per_run = ["instances_predictions.pth", "coco_instances_results.json"]
    assert names == {*per_run, *(f"nms/{name}" for name in per_run), "diagnosis.json"}

    content = json.loads((tmp_path / "inference" / "diagnosis.json").read_text())
    assert content["dataset"] == dataset
    assert content["diagnosis"] == pytest.approx(results["nms_diagnosis"])
    assert sum(content["histogram"]["first"]) == sum(content["histogram"]["duplicates"]) == 5
    assert len(content["histogram"]["first"]) == 50

    cfg.DATASETS.TEST = (dataset, "another")
    evaluate(build_evaluator(cfg, dataset), repeats=0)
    content = json.loads((tmp_path / "inference" / dataset / "diagnosis.json").read_text())
    assert content["diagnosis"]["score_gap"] is None
