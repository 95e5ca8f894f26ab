"""AP of detections whose value is known by hand, on files that pycocotools misunderstands."""

import json
import math

import pytest
import torch
from onenet.data import check_datasets_available, load_records, register_datasets
from onenet.evaluation import NMSDiagnosisEvaluator

# isort: split
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import Boxes, BoxMode, Instances

BOXES = ([10, 20, 30, 40], [50, 10, 24, 30])
IMAGES = 3


def coco():
    """Three images with the same two boxes, of two classes."""
    return {
        "images": [{"id": i, "file_name": "1.png", "width": 96, "height": 96} for i in (1, 2, 3)],
        "annotations": [
            {"id": 1 + len(BOXES) * i + j, "image_id": 1 + i, "category_id": 3 + 4 * j,
             "bbox": list(box), "area": box[2] * box[3], "iscrowd": 0}
            for i in range(IMAGES) for j, box in enumerate(BOXES)
        ],
        "categories": [{"id": 3, "name": "disc"}, {"id": 7, "name": "box"}],
    }  # fmt: skip


@pytest.fixture
def evaluate(tmp_path):
    """Results of the detections that ``keep`` selects of what load_records says is there."""

    def run(content, keep=lambda image_id, number: True):
        path = tmp_path / "mine.json"
        path.write_text(json.dumps(content))
        (tmp_path / "1.png").touch()
        register_datasets([["by_hand", str(path), str(tmp_path)]])
        check_datasets_available(["by_hand"])
        evaluator = NMSDiagnosisEvaluator("by_hand", str(tmp_path / "out"), distributed=False)
        evaluator.reset()
        for record in load_records("by_hand"):
            evaluator.process([record], [{"instances": perfect(record, keep)}])
        return evaluator.evaluate()

    yield run
    DatasetCatalog.remove("by_hand")
    MetadataCatalog.remove("by_hand")


def perfect(record, keep):
    found = [
        (BoxMode.convert(one["bbox"], one["bbox_mode"], BoxMode.XYXY_ABS), one["category_id"])
        for number, one in enumerate(record["annotations"])
        if not one["iscrowd"] and keep(record["image_id"], number)
    ]
    boxes = torch.tensor([box for box, _ in found], dtype=torch.float32).reshape(-1, 4)
    return Instances(
        (96, 96),
        pred_boxes=Boxes(boxes),
        scores=torch.linspace(0.9, 0.5, len(found)),
        pred_classes=torch.tensor([label for _, label in found], dtype=torch.int64),
    )


def ap(results):
    return {name: value for name, value in results["bbox"].items() if name.startswith("AP")}


def change(field, values):
    """The file with this field of the annotations in turn; ``...``: without it."""
    content = coco()
    for number, one in enumerate(content["annotations"]):
        one[field] = values[number % len(values)]
        if one[field] is ...:
            del one[field]
    return content


@pytest.mark.parametrize(
    "content",
    [
        coco(),
        change("id", [0, 1, 2, 3, 4, 5]),
        change("id", [4]),
        change("id", ["a", "b"]),
        change("id", [...]),
        change("area", [...]),
        change("area", [0]),
        change("area", [-1]),
        change("area", [1e11]),
        change("iscrowd", [...]),
        change("iscrowd", [False, 0.0]),
        change("ignore", [0, False]),
        change("segmentation", [[[]], None, {}]),
    ],
    ids=lambda content: str(content["annotations"][0])[:60],
)
def test_a_perfect_detector_has_100(evaluate, content):
    results = evaluate(content)
    assert ap(results) == pytest.approx(
        {"AP": 100, "AP50": 100, "AP75": 100, "APs": 100, "APm": 100, "APl": math.nan,
         "AP-disc": 100, "AP-box": 100}, nan_ok=True
    )  # fmt: skip
    assert results["nms_diagnosis"]["nms_gap"] == 0


def test_the_given_area_decides_which_objects_are_small(evaluate):
    """Where it is that of a mask, and so less than its box."""
    results = evaluate(change("area", [900, 700]))
    assert results["bbox"]["APs"] == pytest.approx(100)
    assert math.isnan(results["bbox"]["APm"])


@pytest.mark.parametrize("ids", [(0, 1, 2), ("c", "a", "b"), (-1, 2**62, 5)])
def test_ids_of_images(evaluate, ids):
    content = coco()
    for image in content["images"]:
        image["id"] = ids[image["id"] - 1]
    for one in content["annotations"]:
        one["image_id"] = ids[one["image_id"] - 1]
    assert evaluate(content)["bbox"]["AP"] == pytest.approx(100)
    # Of two images of three everything: precision 1 at 67 of the 101 points of recall.
    results = evaluate(content, keep=lambda image_id, number: image_id != ids[0])
    assert results["bbox"]["AP"] == pytest.approx(100 * 67 / 101)


@pytest.mark.parametrize("ids", [(0, 1), (7, 3), (-2, 90)])
def test_ids_and_names_of_categories(evaluate, ids):
    content = coco()
    content["categories"] = [{"id": id_, "name": str(id_)} for id_ in ids]
    for one in content["annotations"]:
        one["category_id"] = ids[one["category_id"] == 7]
    results = evaluate(content, keep=lambda image_id, number: number == 0)
    assert results["bbox"][f"AP-{ids[0]}"] == pytest.approx(100)
    assert results["bbox"][f"AP-{ids[1]}"] == 0
    assert results["bbox"]["AP"] == pytest.approx(50)
    files = {one["category_id"] for one in json.loads(results_file(evaluate))}
    assert files == {ids[0]}


def results_file(evaluate):
    folder = MetadataCatalog.get("by_hand").image_root
    with open(f"{folder}/out/coco_instances_results.json") as file:
        return file.read()


def test_what_training_repairs_is_repaired_here(evaluate):
    content = coco()
    content["annotations"][0]["bbox"] = [-20, 20, 50, 40]
    content["annotations"] += [
        {"id": 90, "image_id": 1, "category_id": 3, "bbox": [5, 5, 0, 0], "area": 0},
        {"id": 91, "image_id": 2, "category_id": 7, "bbox": [200, 5, 9, 9], "area": 81},
    ]
    results = evaluate(content)
    assert results["bbox"]["AP"] == pytest.approx(100)
    assert results["nms_diagnosis"]["duplicates"] == 1


def test_crowds_are_not_to_be_found(evaluate):
    results = evaluate(change("iscrowd", [0, 1]))
    assert results["bbox"]["AP"] == pytest.approx(100)
    assert math.isnan(results["bbox"]["AP-box"])


def test_nothing_detected_of_a_class_that_is_there_and_of_one_that_is_not(evaluate):
    content = coco()
    content["categories"].append({"id": 9, "name": "rare"})
    results = evaluate(content, keep=lambda image_id, number: False)
    assert results["bbox"]["AP"] == results["bbox"]["AP-disc"] == results["bbox"]["AP-box"] == 0
    assert math.isnan(results["bbox"]["AP-rare"])


def test_nothing_to_be_found_has_no_ap(evaluate):
    content = coco()
    content["annotations"] = []
    assert math.isnan(evaluate(content)["bbox"]["AP"])
