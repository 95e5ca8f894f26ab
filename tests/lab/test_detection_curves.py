import json
import os

import pytest
import torch
from detectron2.structures import Boxes, Instances
from lab.detection_curves import detection_curves, suppress
from onenet.errors import UserError
from onenet.evaluation import NMSDiagnosisEvaluator, class_wise_nms


@pytest.fixture
def evaluated(few_digits_names, tmp_path):
    """Detections around the ground truth with duplicates, evaluated; the folder and the results.

    Every second candidate is a detection.
    """
    from detectron2.data import DatasetCatalog

    name = few_digits_names["val"]
    evaluator = NMSDiagnosisEvaluator(name, str(tmp_path), distributed=False)
    generator = torch.Generator().manual_seed(0)
    evaluator.reset()
    for image in DatasetCatalog.get(name):
        truth = torch.tensor([x["bbox"] for x in image["annotations"]])
        truth[:, 2:] += truth[:, :2]
        boxes = truth.repeat(4, 1) + 2 * torch.randn(4 * len(truth), 4, generator=generator)
        found = Instances((image["height"], image["width"]), pred_boxes=Boxes(boxes))
        found.scores = torch.rand(len(boxes), generator=generator)
        found.pred_classes = torch.tensor([x["category_id"] for x in image["annotations"]]).repeat(
            4
        )
        outputs = {"instances": found[::2], "candidates": found}
        evaluator.process([{"image_id": image["image_id"]}], [outputs])
    return name, tmp_path, evaluator.evaluate()


def test_the_ends_are_what_the_evaluator_says(evaluated):
    name, folder, results = evaluated
    curves = detection_curves(name, folder)
    ap = dict(zip(curves["nms_threshold"], curves["ap"], strict=True))
    assert ap[1.0] == pytest.approx(results["bbox"]["AP"])
    assert results["bbox_nms"]["AP"] > ap[0.6] > ap[1.0] > 0
    ap50 = {
        key: 100 * sum(curves[key]) / len(curves[key]) for key in ("precision", "precision_nms")
    }
    assert ap50["precision"] == pytest.approx(results["bbox"]["AP50"])
    assert ap50["precision_nms"] == pytest.approx(results["bbox_nms"]["AP50"])


def test_they_are_computed_once(evaluated):
    name, folder, _ = evaluated
    detection_curves(name, folder)
    kept = folder / "curves.json"
    content = {"max_detections": 100, "kept": True}
    kept.write_text(json.dumps(content))
    assert detection_curves(name, folder) == content
    for file in ("coco_instances_results.json", "nms/coco_instances_results.json"):
        kept.write_text(json.dumps(content))
        later = kept.stat().st_mtime_ns + 10**9
        os.utime(folder / file, ns=(later, later))
        assert "ap" in detection_curves(name, folder)
        os.utime(folder / file, ns=(0, 0))


def test_they_are_computed_again_where_others_count(evaluated):
    name, folder, _ = evaluated
    hundred = detection_curves(name, folder)
    few = detection_curves(name, folder, max_detections=2)
    assert (hundred["max_detections"], few["max_detections"]) == (100, 2)
    assert few["ap"][-1] < hundred["ap"][-1]
    assert detection_curves(name, folder) == hundred


def test_suppression_is_that_of_the_evaluator(evaluated):
    _, folder, _ = evaluated
    detections = json.loads((folder / "coco_instances_results.json").read_text())
    kept = suppress(detections, 0.6)
    expected = []
    for image_id in sorted({one["image_id"] for one in detections}):
        own = [one for one in detections if one["image_id"] == image_id]
        boxes = torch.tensor([one["bbox"] for one in own])
        boxes[:, 2:] += boxes[:, :2]
        found = Instances((1, 1), pred_boxes=Boxes(boxes))
        found.scores = torch.tensor([one["score"] for one in own])
        found.pred_classes = torch.tensor([one["category_id"] for one in own])
        expected += class_wise_nms(found, 0.6).scores.tolist()
    assert [one["score"] for one in kept] == pytest.approx(expected)
    assert 0 < len(kept) < len(detections)
    assert suppress(detections, 1.0) == detections
    assert suppress([], 0.5) == []


def test_nothing_detected(evaluated):
    name, folder, _ = evaluated
    for file in ("coco_instances_results.json", "nms/coco_instances_results.json"):
        (folder / file).write_text("[]")
    curves = detection_curves(name, folder)
    assert set(curves["ap"]) == {0.0}
    assert set(curves["precision"]) == set(curves["precision_nms"]) == {0.0}


def test_no_evaluation(tmp_path):
    with pytest.raises(UserError, match="evaluate the run again"):
        detection_curves("digits_val", tmp_path)
