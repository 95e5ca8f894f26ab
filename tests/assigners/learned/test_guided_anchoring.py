import pytest
import torch
from assigners import ApproxMaxIoU, GuidedAnchoring
from onenet import ConfigError, Predictions
from onenet.modeling.heads.guide import SHAPE_STD, scaled_boxes, without_background
from onenet.structures import GuidedAnchors

from ..golden import cases, ground_truth, load
from .test_object_regions import priors_of

CASES = dict(cases(load("guided_anchoring")))
TOLERANCE = {"rtol": 1e-4, "atol": 3e-5}


class Step:
    """What is predicted in a case, as leaves, and the criterion."""

    def __init__(self, case, **options):
        self.priors, self.gt = priors_of(case), ground_truth(case)
        self.location = torch.from_numpy(case["loc_logits"])[None].requires_grad_()
        self.shape = torch.from_numpy(case["shape_pred"])[None].requires_grad_()
        boxes = scaled_boxes(self.priors.boxes, self.shape * SHAPE_STD)
        logits = torch.zeros(1, len(self.priors), 4)
        anchors = GuidedAnchors(self.location, boxes)
        self.predictions = Predictions(logits, boxes.detach(), anchors=anchors)
        self.criterion = GuidedAnchoring(losses=(), shapes=ApproxMaxIoU(), **options)

    def losses(self):
        return self.criterion(self.priors, self.predictions, self.gt)


@pytest.mark.parametrize("name", CASES)
def test_reference(name):
    case, step = CASES[name], Step(CASES[name], conflicts="last")
    losses = step.losses()
    for loss, leaf, key in (("loc", step.location, "loc"), ("shape", step.shape, "shape")):
        expected = torch.tensor(case[f"loss_{key}"])
        torch.testing.assert_close(losses[f"loss_{loss}"], expected, **TOLERANCE)
        (grad,) = torch.autograd.grad(losses[f"loss_{loss}"], leaf, retain_graph=True)
        expected = torch.from_numpy(case[f"loss_{key}_grad"])
        torch.testing.assert_close(grad[0], expected, **TOLERANCE)


@pytest.mark.parametrize("name", CASES)
def test_anchors(name):
    case, step = CASES[name], Step(CASES[name])
    mask = torch.from_numpy(case["guided_mask"]).bool()
    anchors = step.predictions.anchors
    expected = torch.from_numpy(case["guided_anchors"])
    torch.testing.assert_close(anchors.boxes[0, mask].detach(), expected, **TOLERANCE)
    logits = without_background(step.predictions.logits, anchors)
    assert torch.equal(logits[0, :, 0].sigmoid() > 0, mask)


def test_classes_and_boxes_follow_the_anchors():
    """Of two images with the same object, the anchors of one fit it."""
    step = Step(CASES["2_single"])
    anchors = step.predictions.anchors.boxes.detach().repeat(2, 1, 1)
    anchors[0, 7] = step.gt.boxes[0, 0]
    predictions = Predictions(
        torch.zeros(2, len(step.priors), 4),
        anchors,
        anchors=GuidedAnchors(anchors[..., 0], anchors),
    )
    gt = type(step.gt)(*(torch.cat([x, x]) for x in vars(step.gt).values() if x is not None))
    positive = step.criterion.assign(step.priors, predictions, gt).positive_samples()
    assert positive[0, 7] and not positive[1, 7]


def test_needs_a_head_with_anchors():
    step = Step(CASES["2_single"])
    with pytest.raises(ConfigError, match='build the model with .* "GuidedAnchoring"'):
        step.criterion(
            step.priors, Predictions(step.predictions.logits, step.priors.boxes), step.gt
        )
