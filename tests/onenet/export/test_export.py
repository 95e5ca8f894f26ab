"""Whole detectors as ONNX, by onnxruntime, beside the same detectors in PyTorch."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onenet  # noqa: F401  (makes Detectron2 importable, so it comes first)
import pytest
import torch
from assigners import add_assigners_config

# isort: split
from detectron2.modeling import build_model
from onenet.errors import UserError
from onenet.export import export_model
from onenet.export.verify import difference, nonempty
from onenet.modeling.backbone.resnet import BLOCKS
from onenet.predict import OnnxPredictor, Predictor
from onenet.predict.torch_predictor import run_torch
from torchvision.ops import DeformConv2d

from ...formula import make_image, make_weights

pytestmark = pytest.mark.numeric

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

KINDS = {
    "single-level": ("CenterNet", "SCORE_THRESH_TEST", 0.01),
    "deformable": ("CenterNet", "DCN", True, "CENTERNESS", True),
    "fcos": ("FCOS", "CENTERNESS", True),
    "retinanet": ("RetinaNet", "IN_FEATURES", ["p3", "p4"]),
    "corners": ("CornerNet", "ASSIGNER.NAME", "CornerNet", "SCORE_THRESH_TEST", 0.01),
    "selector": ("FCOS", "SELECTOR.ENABLED", True),
    "max filtering": ("FCOS", "SELECTOR.ENABLED", True, "SELECTOR.MAX_FILTERING", True),
    "auxiliary": ("CenterNet", "AUX.ASSIGNER", "MinCost"),
    "guided": ("FCOS", "ASSIGNER.NAME", "GuidedAnchoring"),
}


@dataclass(frozen=True)
class Exported:
    """A config with weights, and its exported model."""

    cfg: object
    model: torch.nn.Module
    file: Path


@pytest.fixture(scope="module", autouse=True)
def short_resnet():
    """One block a stage: tracing takes as long as there are layers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BLOCKS, 18, (1, 1, 1, 1))
        yield


def make_cfg(tiny_cfg, folder, head, *options):
    keys = [f"MODEL.OneNet.{x}" if i % 2 == 0 else x for i, x in enumerate(options)]
    keys += ["INPUT.MIN_SIZE_TEST", 64, "INPUT.MAX_SIZE_TEST", 160, "INPUT.FORMAT", "RGB"]
    keys += ["MODEL.PIXEL_STD", [63.75] * 3]  # scores that are neither 0 nor 1
    if head == "RetinaNet":
        keys += ["MODEL.ANCHOR_GENERATOR.SIZES", [[16, 24], [32, 48]]]
    weights = folder / "model.pth"
    cfg = tiny_cfg(head, *keys, "MODEL.WEIGHTS", str(weights))
    add_assigners_config(cfg)
    shapes = {name: x.shape for name, x in build_model(cfg).state_dict().items()}
    torch.save({"model": make_weights(shapes)}, weights)
    return cfg


@pytest.fixture(scope="module", params=KINDS)
def exported(request, short_resnet, tiny_cfg, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    cfg = make_cfg(tiny_cfg, folder, *KINDS[request.param])
    result = export_model(cfg, folder / "model.onnx")
    assert result.batches == 4 and result.floor > 0, "there is nothing to compare"
    assert sorted(x.name for x in folder.iterdir()) == ["model.onnx", "model.pth"]
    return Exported(cfg, Predictor(cfg).model, folder / "model.onnx")


@pytest.mark.parametrize("shape", [(1, 64, 64), (3, 75, 100), (2, 1, 40), (1, 130, 33)], ids=str)
def test_detections_are_those_of_pytorch(exported, shape):
    count, height, width = shape
    batch = np.stack([make_image(height, width, seed).numpy() for seed in range(count)])
    session = onnxruntime.InferenceSession(str(exported.file))
    boxes, scores, classes = session.run(None, {"images": batch})
    assert boxes.shape == (*scores.shape, 4) and classes.shape == scores.shape
    assert scores.shape == (count, exported.model.max_detections)
    assert (boxes >= 0).all() and (boxes <= [width, height, width, height]).all()
    assert (np.diff(scores) <= 0).all()
    for expected, *actual in zip(
        run_torch(exported.model, batch), boxes, scores, classes, strict=True
    ):
        keep = actual[1] >= exported.model.score_threshold
        actual = nonempty([x[keep] for x in actual])
        assert len(expected[1]) == len(actual[1])
        assert difference(expected, actual, 0.0) == ""


def test_the_file_has_standard_operators_only(exported):
    model = onnx.load(str(exported.file))
    onnx.checker.check_model(model, full_check=True)
    assert {opset.domain for opset in model.opset_import} == {""}
    assert not model.functions
    operators = {node.op_type for node in model.graph.node}
    assert "TopK" in operators and "NonMaxSuppression" not in operators
    assert not [x.name for x in model.graph.initializer if "auxiliary" in x.name]
    layers = {type(x) for x in exported.model.modules()}
    assert ("DeformConv" in operators) == (DeformConv2d in layers)
    session = onnxruntime.InferenceSession(str(exported.file))
    (images,) = session.get_inputs()
    assert (images.name, images.type) == ("images", "tensor(uint8)")
    assert images.shape == ["batch", 3, "height", "width"]
    found = [(x.name, x.type, x.shape) for x in session.get_outputs()]
    assert found == [
        ("boxes", "tensor(float)", ["batch", "k", 4]),
        ("scores", "tensor(float)", ["batch", "k"]),
        ("classes", "tensor(int64)", ["batch", "k"]),
    ]


def test_both_predictors_find_the_same(exported, tmp_path):
    images = [make_image(90, 60).permute(1, 2, 0).numpy(), np.zeros((1, 1, 3), np.uint8)]
    images += [np.zeros((4, 4), np.uint8), make_image(64, 64, 1).permute(1, 2, 0).numpy()]
    one, other = OnnxPredictor(exported.file), Predictor(exported.cfg)
    assert one.card == other.card
    assert one.class_names == ("0", "1", "2")
    for first, second in zip(one(images), other(images), strict=True):
        assert (first.error, first.image_size) == (second.error, second.image_size)
        first, second = ((x.boxes, x.scores, x.classes) for x in (first, second))
        assert difference(first, second, 0.0) == ""


def test_what_detects_otherwise_is_not_written(tiny_cfg, tmp_path, monkeypatch):
    cfg = make_cfg(tiny_cfg, tmp_path, *KINDS["single-level"])
    before = tmp_path / "model.pt2"
    before.write_text("an older one")
    model = Predictor(cfg).model

    def half_a_pixel_off(_, card, path):
        path.touch()
        return lambda batch: [(x[0] + 0.5, *x[1:]) for x in run_torch(model, batch)], 1

    monkeypatch.setattr("onenet.export.export._write", half_a_pixel_off)
    with pytest.raises(UserError, match=r"is not written.* of a batch 1x3x64x64: class \d with"):
        export_model(cfg, before)
    assert before.read_text() == "an older one"
    assert sorted(x.name for x in tmp_path.iterdir()) == ["model.pt2", "model.pth"]


def test_as_a_program_of_torch_export(tiny_cfg, tmp_path):
    cfg = make_cfg(tiny_cfg, tmp_path, *KINDS["single-level"])
    result = export_model(cfg, tmp_path / "model.pt2", [np.zeros((9, 9, 3), np.uint8)])
    assert result.batches == 4
    card = {"class_names": "", "onenet_format": ""}
    program = torch.export.load(tmp_path / "model.pt2", extra_files=card)
    assert card["onenet_format"] == "1"
    boxes, scores, classes = program.module()(torch.zeros(1, 3, 50, 70, dtype=torch.uint8))
    assert boxes.shape == (1, 100, 4) and classes.dtype == torch.int64


def test_what_cannot_be_exported_is_said_at_once(tiny_cfg, tmp_path):
    with pytest.raises(UserError, match=r"must end in .onnx or .pt2"):
        export_model(tiny_cfg(), tmp_path / "model.tflite")
    with pytest.raises(UserError, match="there is no folder"):
        export_model(tiny_cfg(), tmp_path / "no" / "model.onnx")
    with pytest.raises(UserError, match="have no NMS"):
        export_model(tiny_cfg("CenterNet", "MODEL.OneNet.NMS", True), tmp_path / "model.onnx")
    with pytest.raises(UserError, match="is no trained detector"):
        export_model(tiny_cfg(), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())
