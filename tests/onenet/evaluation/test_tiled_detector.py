import logging

import cv2
import numpy as np
import pytest
import torch
from detectron2.evaluation import inference_on_dataset
from detectron2.modeling import build_model
from detectron2.structures import Boxes, BoxMode, Instances
from onenet.engine import Trainer
from onenet.errors import ConfigError, UserError
from onenet.evaluation import NMSDiagnosisEvaluator, TiledDetector, tile_grid
from onenet.predict import ModelCard
from onenet.tiles import TileGrid
from torch import nn

from ..perfect_detector import draw, visible

STEP, EXTENT = 13, 10
RECTANGLES = [
    [x, y, x + EXTENT, y + EXTENT] for y in range(1, 100, STEP) for x in range(1, 130, STEP)
]
CARD, GRID = ModelCard(("even", "odd")), TileGrid(50, EXTENT)


class PerfectModel(nn.Module):
    """Finds all that an image shows, as instances and, twice, as candidates."""

    def forward(self, batched_inputs):
        assert not self.training
        return [self.detect(one) for one in batched_inputs]

    def detect(self, one):
        boxes, greys = visible(one["image"][0].numpy())
        found = Instances(
            (one["height"], one["width"]),
            pred_boxes=Boxes(torch.from_numpy(boxes)),
            scores=1 - torch.from_numpy(greys) / 256,
            pred_classes=torch.from_numpy(greys).long() % 2,
        )
        return {"instances": found, "candidates": Instances.cat([found, found])}


@pytest.fixture
def record(tmp_path):
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), draw(106, 132, RECTANGLES))
    annotations = [
        {"bbox": box, "bbox_mode": BoxMode.XYXY_ABS, "category_id": grey % 2}
        for grey, box in enumerate(RECTANGLES, start=1)
    ]
    size = {"height": 106, "width": 132}
    return {"file_name": str(path), "image_id": 1, **size, "annotations": annotations}


def detect(record, merge):
    (found,) = TiledDetector(PerfectModel().eval(), GRID, CARD, merge)([record])
    return found


def test_merged_by_centre_all_are_found_once(record):
    found = detect(record, "center")
    assert found["instances"].image_size == (106, 132)
    assert found["instances"].pred_boxes.tensor.tolist() == RECTANGLES
    assert len(found["candidates"]) == 2 * len(RECTANGLES)


def test_merged_by_nms_parts_of_cut_objects_stay(record):
    boxes = detect(record, "nms")["instances"].pred_boxes.tensor
    assert len(boxes) > len(RECTANGLES)
    whole = ((boxes[:, 2:] - boxes[:, :2]) == EXTENT).all(dim=1)
    assert sorted(boxes[whole].tolist()) == sorted(RECTANGLES)


def test_ap_of_a_perfect_detector(record, register, tmp_path):
    evaluator = NMSDiagnosisEvaluator(
        register([record]), str(tmp_path / "out"), max_detections=len(RECTANGLES)
    )
    model = PerfectModel()
    results = inference_on_dataset(TiledDetector(model, GRID, CARD), [[record]], evaluator)
    assert model.training  # as before
    assert results["bbox"]["AP"] == results["bbox_nms"]["AP"] == pytest.approx(100)
    assert results["nms_diagnosis"]["duplicates"] == 1


def test_images_that_cannot_be_used(record):
    with pytest.raises(UserError, match="Mismatched image shape"):
        detect({**record, "height": 100}, "center")
    with pytest.raises(UserError, match=r"none\.png"):
        detect({**record, "file_name": "none.png"}, "center")


def test_config_keys(digits_cfg, few_digits_names, caplog):
    """Evaluated in tiles, each detection of the network counts in one place."""
    cfg = digits_cfg
    cfg.DATASETS.TEST = (few_digits_names["val"],)
    cfg.TEST.TILE, cfg.TEST.TILE_OVERLAP = 96, 32  # 4 tiles of 160 x 160 pixels
    model = build_model(cfg)
    with caplog.at_level(logging.INFO):
        results = Trainer.test(cfg, model)
    assert "of at most 400 detections an image" in caplog.text
    assert np.isfinite(results["bbox"]["AP"])
    assert model.offered_candidates == 0


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("TEST.TILE_OVERLAP", 96, "overlap of tiles is 96"),
        ("TEST.TILE_MERGE", "centre", '"center"'),
        ("INPUT.FORMAT", "L", "BGR, RGB"),
    ],
)
def test_keys_that_cannot_be(tiny_cfg, key, value, message):
    cfg = tiny_cfg()
    assert tile_grid(cfg) is None
    cfg.TEST.TILE, cfg.TEST.TILE_OVERLAP = 96, 32
    assert tile_grid(cfg) == TileGrid(96, 32)
    cfg.merge_from_list([key, value])
    with pytest.raises(ConfigError, match=message):
        tile_grid(cfg)
