import onenet  # noqa: F401  (makes Detectron2 importable)
import pytest
import torch
from detectron2.config import get_cfg
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import Boxes, BoxMode, Instances
from detectron2.utils import comm
from onenet.errors import UserError
from onenet.evaluation import CrowdHumanEvaluator, NMSDiagnosisEvaluator, build_evaluator

SIZE = 200


def grid(count):
    """Boxes of 8 x 8 pixels that do not touch."""
    return [[x, y, x + 8, y + 8] for y in range(0, SIZE, 10) for x in range(0, SIZE, 10)][:count]


def record(image_id, people, regions=()):
    annotations = [
        {"bbox": box, "bbox_mode": BoxMode.XYXY_ABS, "category_id": 0, "iscrowd": crowd}
        for crowd, some in enumerate((people, regions))
        for box in some
    ]
    return {"file_name": f"{image_id}.jpg", "image_id": image_id, "height": SIZE, "width": SIZE,
            "annotations": annotations}  # fmt: skip


@pytest.fixture
def register():
    names = []

    def add(records):
        name = "crowd_test"
        DatasetCatalog.register(name, lambda: records)
        MetadataCatalog.get(name).set(evaluator_type="crowdhuman", thing_classes=["person"])
        names.append(name)
        return name

    yield add
    for name in names:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


def detections(boxes, scores=None):
    boxes = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    scores = torch.linspace(0.9, 0.1, len(boxes)) if scores is None else torch.tensor(scores)
    found = Instances((SIZE, SIZE), pred_boxes=Boxes(boxes), scores=scores)
    found.pred_classes = torch.zeros(len(boxes), dtype=torch.int64)
    return {"instances": found}


def test_all_detections_count_and_the_diagnosis_stays(register, tmp_path):
    name = register([record(1, grid(300))])
    cfg = get_cfg()
    cfg.OUTPUT_DIR, cfg.TEST.DETECTIONS_PER_IMAGE = str(tmp_path), 500
    evaluator = build_evaluator(cfg, name)
    evaluator.reset()
    evaluator.process([{"image_id": 1}], [detections(grid(300))])
    results = evaluator.evaluate()
    assert results.keys() == {
        "bbox", "bbox_nms", "nms_diagnosis", "objects", "objects_nms", "crowdhuman"
    }  # fmt: skip
    assert results["crowdhuman"] == {
        "AP50": pytest.approx(100 * 299 / 300), "mMR": 0.0, "recall": 100.0
    }  # fmt: skip


def test_other_datasets_have_the_diagnosis_alone(register, tmp_path):
    name = register([record(1, grid(1))])
    MetadataCatalog.remove(name)
    MetadataCatalog.get(name).set(evaluator_type="coco", thing_classes=["person"])
    cfg = get_cfg()
    cfg.OUTPUT_DIR = str(tmp_path)
    assert isinstance(build_evaluator(cfg, name), NMSDiagnosisEvaluator)


def test_regions_are_ignored_and_order_does_not_matter(register):
    """The second image's two best detections lie in its region; scores are not in order.

    What counts, by score: 0.9 true, 0.5 false, 0.4 true, of four people.
    """
    people = grid(3)
    name = register([record(1, people), record(2, [[0, 0, 50, 50]], [[100, 100, 200, 200]])])
    evaluator = CrowdHumanEvaluator(name, distributed=False)
    evaluator.reset()
    inside = [[110, 110, 120, 120], [130, 130, 150, 150]]
    evaluator.process([{"image_id": 1}], [detections([people[1], people[0]], [0.4, 0.9])])
    evaluator.process([{"image_id": 2}], [detections([*inside, [60, 0, 90, 50]], [0.8, 0.7, 0.5])])
    metrics = evaluator.evaluate()["crowdhuman"]
    # precision 1, 1/2, 2/3 at recall 1/4, 1/4, 2/4, as in the test of the metrics.
    assert metrics["AP50"] == pytest.approx(100 * 7 / 48)
    assert metrics["recall"] == 50.0


def test_ground_truth_ends_at_the_border_as_detections_do(register):
    name = register([record(1, [[-100, 0, 20, 20]])])
    evaluator = CrowdHumanEvaluator(name, distributed=False)
    evaluator.reset()
    evaluator.process([{"image_id": 1}], [detections([[0, 0, 20, 20]])])
    assert evaluator.evaluate()["crowdhuman"]["recall"] == 100.0


def test_processes_are_pooled(register, monkeypatch):
    people = grid(4)
    name = register([record(1, people[:2]), record(2, people[2:])])
    shares = []
    for image, found in ((1, people[:2]), (2, people[2:3])):
        evaluator = CrowdHumanEvaluator(name)
        evaluator.reset()
        evaluator.process([{"image_id": image}], [detections(found)])
        monkeypatch.setattr(comm, "gather", lambda data, dst: shares.append(data) or [data])
        evaluator.evaluate()
    monkeypatch.setattr(comm, "gather", lambda data, dst: shares)
    assert evaluator.evaluate()["crowdhuman"]["recall"] == 75.0
    monkeypatch.setattr(comm, "is_main_process", lambda: False)
    assert evaluator.evaluate() == {}


def test_an_image_of_another_dataset(register):
    evaluator = CrowdHumanEvaluator(register([record(1, [])]), distributed=False)
    with pytest.raises(UserError, match="Image 7.*crowd_test"):
        evaluator.process([{"image_id": 7}], [detections([])])
