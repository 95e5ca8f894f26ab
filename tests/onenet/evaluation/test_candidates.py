"""What a detector returns while an evaluation asks for candidates."""

import pytest
import torch
from detectron2.modeling import build_model
from detectron2.modeling.postprocessing import detector_postprocess
from onenet.evaluation import candidates_offered
from onenet.inference import to_instances
from onenet.nms import level_candidates
from torch import nn

from ...formula import make_weights

SIZES = [(64, 80), (50, 64)]  # of the images as the network sees them
OUTPUT = 100, 200
SELECTOR = ("MODEL.OneNet.SELECTOR.ENABLED", True, "MODEL.PIXEL_STD", [63.75] * 3)


@pytest.fixture
def model(tiny_cfg):
    options = ["TEST.DETECTIONS_PER_IMAGE", 5, "MODEL.PIXEL_STD", [63.75] * 3]
    model = build_model(tiny_cfg("RetinaNet", *options)).eval()
    shapes = {name: value.shape for name, value in model.state_dict().items()}
    model.load_state_dict(make_weights(shapes))
    return model


@pytest.fixture
def inputs():
    generator = torch.Generator().manual_seed(0)
    images = [torch.randint(256, (3, *size), generator=generator).float() for size in SIZES]
    height, width = OUTPUT
    return [{"image": image, "height": height, "width": width} for image in images]


def same(one, other):
    boxes = one.pred_boxes.tensor, other.pred_boxes.tensor
    return one.scores.equal(other.scores) and boxes[0].equal(boxes[1])


@torch.no_grad()
def test_candidates_of_all_levels_in_output_pixels(model, inputs):
    plain = model(inputs)
    assert all(output.keys() == {"instances"} for output in plain)
    with candidates_offered(nn.Sequential(model), 7):  # wrapped, as for several processes
        offered = model(inputs)
    images = model.preprocess_image(inputs)
    branches, priors = model.predict(images.tensor)
    (predictions,) = branches.values()
    assert len(priors.level_sizes) > 1
    wanted = to_instances(level_candidates(predictions, priors.level_sizes, 7), SIZES)
    for before, now, expected in zip(plain, offered, wanted, strict=True):
        assert same(now["instances"], before["instances"])
        expected = detector_postprocess(expected, *OUTPUT)
        assert same(now["candidates"], expected)
        assert now["candidates"].image_size == OUTPUT
        assert len(expected) > 5  # more than there are detections


@torch.no_grad()
def test_the_score_threshold_holds_for_candidates(model, inputs):
    with candidates_offered(model, 7):
        scores = model(inputs)[0]["candidates"].scores
        model.score_threshold = scores.median().item()
        kept = model(inputs)[0]["candidates"].scores
    assert kept.equal(scores[scores >= scores.median()]) and len(kept) < len(scores)


@torch.no_grad()
def test_with_a_selector_the_class_scores_alone_are_offered_too(tiny_cfg, inputs):
    model = build_model(tiny_cfg("RetinaNet", *SELECTOR)).eval()
    model.head.selector.output.weight.zero_()
    model.head.selector.output.bias.fill_(-50)  # nothing is selected
    with candidates_offered(model, 7):
        offered = model(inputs)[0]
    assert offered["candidates"].scores.max() < 1e-6 < offered["dense_candidates"].scores.max()
    assert offered["dense_candidates"].image_size == OUTPUT


@torch.no_grad()
def test_they_are_offered_no_longer_than_asked_for(model, inputs):
    with pytest.raises(RuntimeError, match="within"), candidates_offered(model, 7):
        raise RuntimeError("within")
    assert model(inputs)[0].keys() == {"instances"}


def test_other_models_stay_as_they_are():
    model = nn.Linear(1, 1)
    before = dict(vars(model))
    with candidates_offered(model, 7):
        assert vars(model) == before
