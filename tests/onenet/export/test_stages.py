"""The parts of a detector that are timed, and the tail with NMS beside top-k."""

import numpy as np
import pytest
import torch
from detectron2.modeling import build_model
from onenet.benchmark.detection import report_stages, time_stages
from onenet.export.stages import NmsTail, TopKTail
from onenet.inference import top_detections
from onenet.predict.checkpoint import make_card
from torchvision.ops import batched_nms, clip_boxes_to_image

from ...formula import make_weights

pytestmark = pytest.mark.numeric

SIZE = (64, 96)


@pytest.fixture
def outputs(make_problem):
    """Of a network with two levels, quality included."""
    predictions = make_problem(samples=60, quality=True, size=SIZE).predictions
    return predictions.logits, predictions.boxes, predictions.quality


@pytest.fixture
def nms_cfg(tiny_cfg):
    options = ["MODEL.RETINANET.TOPK_CANDIDATES_TEST", 30, "TEST.DETECTIONS_PER_IMAGE", 10]
    options += ["MODEL.PIXEL_STD", [63.75] * 3]  # scores that are neither 0 nor 1
    return tiny_cfg("CenterNet", *options)


def test_nms_tail_is_that_of_a_retinanet(nms_cfg, outputs):
    found = NmsTail(nms_cfg, [40, 20], SIZE)(*outputs)
    joint = outputs[0].sigmoid() * outputs[2].sigmoid()[..., None]
    for image in range(len(joint)):
        candidates = []
        for level in (slice(0, 40), slice(40, 60)):
            pairs = [
                (score, level.start + sample, label)
                for sample, row in enumerate(joint[image, level].tolist())
                for label, score in enumerate(row)
            ]
            candidates += sorted(pairs, reverse=True)[:30]
        scores, sample, classes = (torch.tensor(x) for x in zip(*candidates, strict=True))
        boxes = clip_boxes_to_image(outputs[1][image, sample], SIZE)
        keep = batched_nms(boxes, scores, classes, nms_cfg.MODEL.RETINANET.NMS_THRESH_TEST)[:10]
        assert 0 < len(keep) < len(candidates)
        for actual, expected in zip(
            found[3 * image : 3 * image + 3], (boxes, scores, classes), strict=True
        ):
            torch.testing.assert_close(actual, expected[keep])


def test_top_k_tail_is_that_of_the_model(make_problem):
    predictions = make_problem(samples=60, size=SIZE).predictions
    boxes, scores, classes = TopKTail(20, SIZE)(predictions.logits, predictions.boxes)
    expected = top_detections(predictions, 20)
    assert boxes.equal(clip_boxes_to_image(expected[0], SIZE))
    assert scores.equal(expected[1]) and classes.equal(expected[2])


def test_both_runtimes_compute_the_same(nms_cfg, tmp_path):
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    from onenet.export.runtimes import in_onnxruntime, in_pytorch

    model = build_model(nms_cfg).eval()
    shapes = {name: value.shape for name, value in model.state_dict().items()}
    model.load_state_dict(make_weights(shapes))  # scores that are not all the same
    samples = SIZE[0] * SIZE[1] // 16
    tails = TopKTail(10, SIZE), NmsTail(nms_cfg, [samples], SIZE)
    batch = np.random.default_rng(0).integers(256, size=(2, 3, *SIZE), dtype=np.uint8)
    one = in_pytorch(model, make_card(nms_cfg), 2, *tails)
    other, *_ = in_onnxruntime(model, make_card(nms_cfg), batch.shape, *tails, tmp_path)
    expected, actual = one.network(batch), other.network(batch)
    assert [tuple(x.shape) for x in expected] == [(2, samples, 3), (2, samples, 4)]
    for x, y in zip(expected, actual, strict=True):
        torch.testing.assert_close(x, torch.from_numpy(y.numpy()), rtol=1e-5, atol=1e-4)
    # On the same outputs, so that no rounding of the network decides which of two is better.
    again = [torch.from_numpy(y.numpy()) for y in actual]
    for tail in ("top_k", "nms"):
        pairs = zip(getattr(one, tail)(*again), getattr(other, tail)(*actual), strict=True)
        for x, y in pairs:
            torch.testing.assert_close(x, torch.from_numpy(y.numpy()), rtol=1e-5, atol=1e-5)


def test_stages_are_timed(nms_cfg):
    (row,) = time_stages(nms_cfg, SIZE, [2], ["pytorch"], iterations=2, warmup=1)
    assert (row.runtime, row.device, row.images) == ("pytorch", "cpu", 2)
    assert min(row.preprocessing, row.network, row.top_k, row.nms, row.total) > 0
    table = report_stages([row]).splitlines()
    assert len(table) == 3 and f"{100 * row.top_k / row.network:.2f} %" in table[2]
