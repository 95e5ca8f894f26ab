"""AP without and with NMS, and the diagnosis between, of detections made by hand."""

import json
import logging
import math

import pytest
import torch
from detectron2.config import get_cfg
from detectron2.evaluation.testing import flatten_results_dict
from detectron2.structures import Boxes, Instances
from detectron2.utils import comm
from onenet.errors import UserError
from onenet.evaluation import NMSDiagnosisEvaluator, build_evaluator, class_wise_nms

from .scenes import INPUTS, OBJECTS, SIZE, detect, evaluate, record

TASKS = ["bbox", "bbox_nms", "nms_diagnosis", "objects", "objects_nms"]
DIAGNOSIS = ["nms_gap", "duplicates", "score_gap", "recall", "score_threshold", "max_score"]


def test_perfect_detector(evaluator):
    results = evaluate(evaluator)
    assert list(results) == TASKS and list(results["nms_diagnosis"]) == DIAGNOSIS
    assert results["bbox"]["AP"] == pytest.approx(100)
    assert results["bbox_nms"]["AP"] == pytest.approx(100)
    diagnosis = results["nms_diagnosis"]
    assert diagnosis["nms_gap"] == pytest.approx(0)
    assert diagnosis["duplicates"] == diagnosis["recall"] * 5 / 3 == 1.0  # 3 of 5 have 0.9
    assert diagnosis["score_threshold"] == diagnosis["max_score"] == pytest.approx(0.9)
    assert diagnosis["score_gap"] == pytest.approx((3 * 0.9 + 2 * 0.8) / 5)


def test_annotations_may_lack_area_and_iscrowd(dataset, evaluator, tmp_path):
    expected = evaluate(evaluator)
    path = tmp_path / "annotations.json"
    content = json.loads(path.read_text())
    for annotation in content["annotations"]:
        del annotation["area"]
        if not annotation["iscrowd"]:
            del annotation["iscrowd"]
    path.write_text(json.dumps(content))
    results = evaluate(NMSDiagnosisEvaluator(dataset, str(tmp_path / "out")))
    for task, metrics in expected.items():
        assert results[task] == pytest.approx(dict(metrics), nan_ok=True)


def test_duplicates_cost_ap_without_nms_only(evaluator):
    results = evaluate(evaluator, repeats=3)
    assert results["bbox_nms"]["AP"] == pytest.approx(100)
    assert results["bbox"]["AP"] < 80
    assert results["nms_diagnosis"]["nms_gap"] == pytest.approx(100 - results["bbox"]["AP"])
    assert results["nms_diagnosis"]["score_gap"] == pytest.approx(0.001, abs=1e-6)


@pytest.mark.parametrize("batch_size", [1, 3])
def test_batches_do_not_matter(evaluator, batch_size):
    expected = flatten_results_dict(evaluate(evaluator, repeats=2))
    again = flatten_results_dict(evaluate(evaluator, batch_size=batch_size, repeats=2))
    assert again == pytest.approx(expected, nan_ok=True)


def test_no_detections_at_all(evaluator):
    """Nothing of what is there is found: 0; of what is not there, nothing can be said: NaN."""
    results = evaluate(evaluator, repeats=0)
    diagnosis = results.pop("nms_diagnosis")
    assert diagnosis.pop("nms_gap") == diagnosis.pop("recall") == 0
    assert all(math.isnan(value) for value in diagnosis.values())
    expected = dict.fromkeys(("AP", "AP50", "AP75", "APs", "APm"), 0.0)
    assert results["bbox_nms"] == pytest.approx({**expected, "APl": math.nan}, nan_ok=True)
    assert results["bbox"].pop("AP-class 3") == results["bbox"].pop("AP-class 7") == 0
    assert results["bbox"] == pytest.approx({**expected, "APl": math.nan}, nan_ok=True)


def test_nothing_processed(evaluator):
    evaluator.reset()
    results = evaluator.evaluate()
    assert list(results) == TASKS
    assert results["objects"].pop("false_detections") == 0
    assert all(math.isnan(value) for value in flatten_results_dict(results).values())


def test_class_that_is_never_detected(evaluator):
    results = evaluate(evaluator, keep=lambda label: label == 0)
    assert results["bbox"]["AP"] == pytest.approx(50)
    assert results["nms_diagnosis"]["recall"] == 3 / 5
    assert results["nms_diagnosis"]["duplicates"] == 1.0


def test_dataset_without_json(register, tmp_path):
    objects = {
        i: [(box, label) for box, label, crowd in x if not crowd] for i, x in OBJECTS.items()
    }
    name = register([record(*item) for item in objects.items()])
    results = evaluate(NMSDiagnosisEvaluator(name, str(tmp_path / "out")), repeats=2)
    assert results["bbox_nms"]["AP"] == pytest.approx(100)
    assert results["nms_diagnosis"]["nms_gap"] > 0


def test_more_detections_than_coco_counts(register, tmp_path, caplog):
    """150 objects of a class: all count, in any Detectron2."""
    corners = [(8.0 * (i % 12), 7.0 * (i // 12)) for i in range(150)]
    boxes = [[x, y, x + 6, y + 5] for x, y in corners]
    cfg = get_cfg()
    cfg.OUTPUT_DIR = str(tmp_path)
    cfg.TEST.DETECTIONS_PER_IMAGE = 200
    evaluator = build_evaluator(cfg, register([record(1, [(box, 0) for box in boxes])]))
    instances = Instances((SIZE, SIZE))
    instances.pred_boxes = Boxes(torch.tensor(boxes))
    instances.scores = torch.linspace(0.9, 0.1, 150)
    instances.pred_classes = torch.zeros(150, dtype=torch.int64)
    evaluator.reset()
    evaluator.process([{"image_id": 1}], [{"instances": instances}])
    with caplog.at_level(logging.INFO):
        results = evaluator.evaluate()
    assert "of at most 200 detections an image" in caplog.text
    assert results["bbox"]["AP"] == pytest.approx(100)
    assert results["bbox"]["APs"] == pytest.approx(100) and math.isnan(results["bbox"]["APl"])
    assert results["nms_diagnosis"]["recall"] == 0.6
    assert results["nms_diagnosis"]["duplicates"] == 1.0


def test_image_of_another_dataset_is_named(evaluator):
    evaluator.reset()
    with pytest.raises(UserError, match="Image 99 is not in dataset"):
        evaluator.process([{"image_id": 99}], [detect(10)])


def test_two_processes_make_one_result(dataset, tmp_path, monkeypatch):
    """The payloads that a second process would send are recorded, then handed to the first."""
    expected = evaluate(NMSDiagnosisEvaluator(dataset, str(tmp_path / "one")), repeats=2)
    first, second = (NMSDiagnosisEvaluator(dataset, str(tmp_path / "two")) for _ in range(2))
    for rank, worker in enumerate((first, second)):
        worker.reset()
        part = INPUTS[rank::2]
        worker.process(part, [detect(x["image_id"], repeats=2) for x in part])

    sent = []
    monkeypatch.setattr(comm, "is_main_process", lambda: False)
    monkeypatch.setattr(comm, "gather", lambda data, dst=0: sent.append(data) or [])
    assert second.evaluate() == {}
    assert not (tmp_path / "two").exists()

    sent = iter(sent)
    monkeypatch.setattr(comm, "is_main_process", lambda: True)
    monkeypatch.setattr(comm, "gather", lambda data, dst=0: [data, next(sent)])
    gathered = flatten_results_dict(first.evaluate())
    assert gathered == pytest.approx(flatten_results_dict(expected), nan_ok=True)


TOP = 4  # detections of an image that the crowded detector returns


def crowded(register, out):
    """Two objects; ten detections of the first leave no place for the second among the best."""
    near, far = [10.0, 10, 50, 50], [60.0, 60, 90, 90]
    found = Instances((SIZE, SIZE))
    found.pred_boxes = Boxes(torch.tensor([near] * 10 + [far]))
    found.scores = torch.linspace(0.9, 0.4, 11)
    found.pred_classes = torch.zeros(11, dtype=torch.int64)
    name = register([record(1, [(near, 0), (far, 0)])])
    evaluator = NMSDiagnosisEvaluator(name, str(out), max_detections=TOP)
    evaluator.reset()
    return evaluator, found


def test_nms_finds_what_has_no_place_among_the_best(register, tmp_path, caplog):
    evaluator, found = crowded(register, tmp_path / "out")
    shuffled = found[torch.randperm(11, generator=torch.Generator().manual_seed(0))]
    evaluator.process([{"image_id": 1}], [{"instances": found[:TOP], "candidates": shuffled}])
    with caplog.at_level(logging.INFO):
        results = evaluator.evaluate()
    assert results["bbox"]["AP"] == pytest.approx(50, abs=1)  # half of the recall points
    assert results["bbox_nms"]["AP"] == pytest.approx(100)
    assert results["nms_diagnosis"]["recall"] == 0.5  # of the detections as trained
    assert results["nms_diagnosis"]["duplicates"] == TOP
    assert "| with NMS 0.6 |" in caplog.text


def test_nms_without_candidates_says_so(register, tmp_path, caplog):
    evaluator, found = crowded(register, tmp_path / "out")
    evaluator.process([{"image_id": 1}], [{"instances": found[:TOP]}])
    with caplog.at_level(logging.INFO):
        results = evaluator.evaluate()
    assert results["bbox_nms"]["AP"] == pytest.approx(50, abs=1)
    assert "| with NMS 0.6 after top-k |" in caplog.text
    told = json.loads((tmp_path / "out" / "diagnosis.json").read_text())
    assert told["nms"] == "NMS 0.6 after top-k" and told["max_detections"] == 100


def test_a_selector_is_compared_with_the_class_scores_and_nms(register, tmp_path, caplog):
    """It selects one of the two objects; among its own scores NMS could not find the other."""
    evaluator, found = crowded(register, tmp_path / "out")
    selected = {"instances": found[:1], "candidates": found[:1]}
    evaluator.process([{"image_id": 1}], [{**selected, "dense_candidates": found}])
    with caplog.at_level(logging.INFO):
        results = evaluator.evaluate()
    assert results["nms_diagnosis"]["nms_gap"] == 0
    assert results["objects"]["missed"] == 50 and results["objects_nms"]["missed"] == 0
    assert "with NMS 0.6, without the selector, down" in caplog.text


def test_no_more_are_left_after_nms_than_before(register, tmp_path):
    evaluator, found = crowded(register, tmp_path / "out")
    boxes = torch.arange(0.0, 88, 8)[:, None] + torch.tensor([0.0, 0, 6, 6])  # no two overlap
    apart = Instances((SIZE, SIZE), pred_boxes=Boxes(boxes), scores=found.scores)
    apart.pred_classes = found.pred_classes
    evaluator.process([{"image_id": 1}], [{"instances": found[:TOP], "candidates": apart}])
    evaluator.evaluate()
    kept = json.loads((tmp_path / "out" / "nms" / "coco_instances_results.json").read_text())
    assert [one["score"] for one in kept] == pytest.approx(found.scores[:TOP].tolist())


def test_class_wise_nms_spares_other_classes():
    instances = Instances((SIZE, SIZE))
    instances.pred_boxes = Boxes(torch.tensor([[0.0, 0, 10, 10]] * 3 + [[0.0, 0, 10, 5.9]]))
    instances.scores = torch.tensor([0.5, 0.9, 0.4, 0.3])
    instances.pred_classes = torch.tensor([0, 0, 1, 0])
    kept = class_wise_nms(instances)  # the last overlaps by 0.59 only
    assert kept.scores.tolist() == pytest.approx([0.9, 0.4, 0.3])
    assert kept.pred_classes.tolist() == [0, 1, 0]
    assert len(class_wise_nms(instances[instances.scores > 1])) == 0
