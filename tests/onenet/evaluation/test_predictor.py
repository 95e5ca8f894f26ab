"""AP of a predictor."""

import numpy as np
import pytest
from detectron2.data import DatasetCatalog
from detectron2.structures import BoxMode
from onenet.errors import UserError
from onenet.evaluation import evaluate_predictor
from onenet.predict import BasePredictor, Detections, ModelCard


class Oracle(BasePredictor):
    """Finds what is annotated, all but the last object of each image."""

    def __init__(self, dataset):
        super().__init__(ModelCard(tuple("0123456789")), batch_size=3)
        self.images = {image["file_name"]: image for image in dataset}
        self.batches = []

    def run(self, batch):
        raise NotImplementedError

    def __call__(self, images):
        self.batches.append(len(images))
        return [self.find(self.images[path]) for path in images]

    def find(self, image):
        objects = image["annotations"][:-1]
        boxes = [BoxMode.convert(x["bbox"], x["bbox_mode"], BoxMode.XYXY_ABS) for x in objects]
        return Detections(
            np.array(boxes, np.float32).reshape(-1, 4),
            np.full(len(boxes), 0.9, np.float32),
            np.array([x["category_id"] for x in objects], np.int64),
            (image["height"], image["width"]),
        )


def test_ap_of_a_predictor(few_digits_names):
    dataset = DatasetCatalog.get(few_digits_names["val"])
    oracle = Oracle(dataset)
    results = evaluate_predictor(oracle, few_digits_names["val"])
    assert oracle.batches == [3, 1]
    assert 0 < results["bbox"]["AP"] < 100
    assert results["nms_diagnosis"]["duplicates"] == 1


def test_an_image_that_cannot_be_read(few_digits_names):
    oracle = Oracle(DatasetCatalog.get(few_digits_names["val"]))
    oracle.find = lambda image: Detections.failed(f"{image['file_name']}: the file is empty")
    with pytest.raises(UserError, match="the file is empty"):
        evaluate_predictor(oracle, few_digits_names["val"])
