"""The scenes as registered datasets, and their evaluator."""

import json

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import register_coco_instances
from onenet.evaluation import NMSDiagnosisEvaluator

from .scenes import CATEGORY_IDS, OBJECTS, SIZE


@pytest.fixture
def dataset(tmp_path):
    """Name of a registered COCO json of the scenes."""
    images = [{"id": i, "height": SIZE, "width": SIZE, "file_name": f"{i}.png"} for i in OBJECTS]
    flat = [(i, *x) for i, objects in OBJECTS.items() for x in objects]
    annotations = [
        {
            "id": number,
            "image_id": image_id,
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "area": (x2 - x1) * (y2 - y1),
            "category_id": CATEGORY_IDS[label],
            "iscrowd": crowd,
        }
        for number, (image_id, (x1, y1, x2, y2), label, crowd) in enumerate(flat, start=1)
    ]
    categories = [{"id": i, "name": f"class {i}"} for i in CATEGORY_IDS]
    path = tmp_path / "annotations.json"
    path.write_text(
        json.dumps(
            {"info": {}, "images": images, "annotations": annotations, "categories": categories}
        )
    )
    name = f"evaluator_{tmp_path.name}"
    register_coco_instances(name, {}, str(path), str(tmp_path))
    yield name
    DatasetCatalog.remove(name)
    MetadataCatalog.remove(name)


@pytest.fixture
def register(tmp_path):
    """Registers records in Detectron2's own format, without any json, and returns the name."""
    name = f"records_{tmp_path.name}"

    def function(records):
        DatasetCatalog.register(name, lambda: records)
        MetadataCatalog.get(name).thing_classes = ["a", "b"]
        return name

    yield function
    DatasetCatalog.remove(name)
    MetadataCatalog.remove(name)


@pytest.fixture
def evaluator(dataset, tmp_path):
    return NMSDiagnosisEvaluator(dataset, str(tmp_path / "out"))
