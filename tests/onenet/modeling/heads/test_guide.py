import assigners
import pytest
import torch
from detectron2.modeling import build_model

LOCATION, SHAPE = "head.guide.location", "head.guide.shape"


@pytest.fixture
def build(tiny_cfg):
    def make(head):
        cfg = tiny_cfg(head)
        assigners.add_assigners_config(cfg)
        cfg.MODEL.OneNet.ASSIGNER.NAME = "GuidedAnchoring"
        cfg.MODEL.OneNet.PRIOR_SCALE = 2.0
        cfg.MODEL.ANCHOR_GENERATOR.SIZES = [[size] for size in (16, 32, 64, 128, 256)]
        cfg.MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS = [[1.0]]
        torch.manual_seed(0)
        return build_model(cfg)

    return make


@pytest.mark.parametrize("head", ["FCOS", "RetinaNet"])
def test_location_and_shape_learn_from_their_own_losses_alone(build, make_inputs, head):
    model = build(head)
    losses = model(make_inputs())
    guide = {name: x for name, x in model.named_parameters() if name.startswith((LOCATION, SHAPE))}
    for own, name in (("loss_loc", LOCATION), ("loss_shape", SHAPE)):
        for key, loss in losses.items():
            grads = torch.autograd.grad(
                loss, list(guide.values()), retain_graph=True, allow_unused=True
            )
            for parameter, grad in zip(guide, grads, strict=True):
                if parameter.startswith(name):
                    assert (grad is not None and grad.any()) == (key == own)


def test_boxes_start_from_the_anchors(build):
    """With the RetinaNet head; what nothing is added to is the anchor itself."""
    model = build("RetinaNet").eval()
    torch.nn.init.zeros_(model.head.bbox_pred.weight)
    torch.nn.init.normal_(model.head.guide.shape.bias)
    branches, priors = model.predict(torch.randn(2, 3, 64, 96))
    found = branches["main"]
    torch.testing.assert_close(found.boxes, found.anchors.boxes)
    assert not torch.allclose(found.boxes, priors.boxes.expand_as(found.boxes))


def test_nothing_is_found_where_nothing_is_said_to_be(build, make_inputs):
    model = build("FCOS")
    torch.nn.init.constant_(model.head.guide.location.bias, -9.0)
    images = torch.randn(1, 3, 64, 96)
    assert (model.predict(images)[0]["main"].logits > -99).all()
    assert not model.eval().predict(images)[0]["main"].logits.sigmoid().any()
