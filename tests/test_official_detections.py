"""``--eval-only`` with an official checkpoint detects what the official code detects.

golden/official_detections.npz holds what PeizeSun/OneNet (commit cb860ad) returned for the weights
and images of formula.py. It was run as it is, with the Detectron2 that it carries, on a CPU, but
for three things: in float64, because what a deep network makes of float32 depends on the processor;
without its check of torchvision's version, which newer ones do not pass; and with
torchvision.ops.deform_conv2d for its deformable convolution, compiled code without a CPU version of
its modulated form. The seeds of the weights were chosen so that no two scores of an image are
closer than 2e-6.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from onenet.engine import Checkpointer, Trainer, setup_cfg

from .formula import make_image, make_weights

pytestmark = pytest.mark.numeric

HERE = Path(__file__).parent
GOLDEN = HERE / "golden"
CONFIGS = {
    "onenet.res18.nodcn": "onenet_R18",
    "onenet.res18.dcn": "onenet_R18_dcn",
    "onenet.fcos.res50": "onenet_fcos_R50",
    "onenet.retinanet.res50": "onenet_retinanet_R50",
}
SIZES = [((96, 128), (144, 192)), ((80, 104), (80, 104))]  # of the input and of the output


def official_checkpoint(name, seed, path):
    """A file such as the official trainer saves."""
    shapes = json.loads((GOLDEN / f"state_dict_{name}.json").read_text())
    weights = make_weights(shapes, seed)
    if "retinanet" in name:  # its Detectron2 still saves the anchors
        for level in range(5):
            weights[f"head.anchor_generator.cell_anchors.{level}"] = torch.full((9, 4), 7.0)
    torch.save({"model": weights, "optimizer": {}, "scheduler": {}, "iteration": 269999}, path)
    return str(path)


@pytest.fixture(scope="module")
def expected():
    with np.load(GOLDEN / "official_detections.npz") as file:
        return dict(file)


@pytest.mark.parametrize("name", CONFIGS)
def test_detections_are_the_official_ones(name, expected, tmp_path, monkeypatch):
    # Filling the weights at random takes longer than everything else here.
    for init in ("kaiming_normal_", "kaiming_uniform_", "xavier_uniform_", "normal_"):
        monkeypatch.setattr(torch.nn.init, init, lambda tensor, *args, **kwargs: tensor)
    cfg = setup_cfg(str(HERE.parent / "configs" / f"{CONFIGS[name]}.yaml"))
    model = Trainer.build_model(cfg).double().eval()
    weights = official_checkpoint(name, int(expected[f"{name}_seed"]), tmp_path / "model.pth")
    Checkpointer(model).resume_or_load(weights, resume=False)
    inputs = [
        {"image": make_image(*size, seed), "height": output[0], "width": output[1]}
        for seed, (size, output) in enumerate(SIZES)
    ]
    with torch.no_grad():
        outputs = model(inputs)
    for index, output in enumerate(outputs):
        found = output["instances"].to("cpu")
        wanted = {
            field: torch.from_numpy(expected[f"{name}_image{index}_{field}"])
            for field in ("boxes", "scores", "classes")
        }
        assert found.pred_classes.tolist() == wanted["classes"].tolist()
        # What follows the networks is float32: sigmoids, and boxes of up to 200 pixels.
        torch.testing.assert_close(found.scores, wanted["scores"], rtol=0, atol=5e-7)
        torch.testing.assert_close(found.pred_boxes.tensor, wanted["boxes"], rtol=0, atol=1e-4)
