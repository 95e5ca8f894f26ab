"""The small detector, from its config over some steps of training to a quantised file."""

from pathlib import Path

import pytest
from assigners import add_assigners_config
from onenet.engine import Trainer, setup_cfg
from onenet.export import export_model, quantize
from onenet.export.sample_images import digit_scenes
from onenet.predict import OnnxPredictor

for package in ("timm", "onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(package)

ROOT = Path(__file__).parents[3]
STEPS = 6


def test_from_config_to_file(few_digits_names, tmp_path):
    options = {
        "MODEL.DEVICE": "cpu",
        "DATASETS.TRAIN": str((few_digits_names["train"],)),
        "INPUT.MIN_SIZE_TRAIN": "(64,)",
        "SOLVER.IMS_PER_BATCH": "4",
        "SOLVER.MAX_ITER": str(STEPS),
        "TEST.EVAL_PERIOD": "0",
        "OUTPUT_DIR": str(tmp_path),
    }
    cfg = setup_cfg(
        str(ROOT / "configs" / "digits" / "onenet_mobilenetv3_digits.yaml"),
        [item for pair in options.items() for item in pair],
        add_configs=[add_assigners_config],
    )
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=False)
    trainer.train()

    cfg.defrost()
    cfg.MODEL.WEIGHTS = str(tmp_path / "model_final.pth")
    model = tmp_path / "model.onnx"
    assert export_model(cfg, model).batches == 4
    image = digit_scenes()[0]
    quantize(model, tmp_path / "model_int8.onnx", [image, image[::-1]])
    found = OnnxPredictor(tmp_path / "model_int8.onnx")(image)
    assert len(found) and found.image_size == image.shape[:2]
