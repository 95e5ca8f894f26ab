"""A training step never waits for the device: not in its forward pass, nor in its backward pass,
nor in its hooks, the clipping of gradients and the update, but where losses are logged.

Assigners alone are watched in test_assigner_contract.py.
"""

import warnings
from itertools import cycle

import assigners
import pytest
import torch
from detectron2.engine.hooks import IterationTimer
from detectron2.modeling import build_model
from detectron2.structures import ImageList
from detectron2.utils.events import EventStorage
from onenet import ASSIGNER_REGISTRY
from onenet.criterion import BOX_LOSSES, CLASS_LOSSES, CRITERION_REGISTRY
from onenet.engine import (
    AMPStep,
    AssignmentStatistics,
    AssignmentTime,
    MeanStepTime,
    Step,
    StepSeed,
    build_optimizer,
)
from onenet.engine.hooks.progress import TrainingProgress

from ..refused import REFUSED
from ..waits import waits

CLIP_ALL = ("SOLVER.CLIP_GRADIENTS.CLIP_TYPE", "full_model")
HEADS = {
    "plain": ("CenterNet",),
    "deformable": ("CenterNet", "MODEL.OneNet.DCN", True),
    "cascade": ("CenterNet", "MODEL.OneNet.NUM_STAGES", 3),
    "centerness": ("CenterNet", "MODEL.OneNet.CENTERNESS", True),
    "FCOS": ("FCOS",),
    "FCOS centerness": ("FCOS", "MODEL.OneNet.CENTERNESS", True),
    "FCOS objectness": (
        *("FCOS", "MODEL.OneNet.CENTERNESS", True),
        *("MODEL.OneNet.QUALITY_TARGET", "objectness", "MODEL.OneNet.SUBSAMPLER.NAME", "ohem"),
    ),
    "RetinaNet": ("RetinaNet",),
    "selector": ("FCOS", "MODEL.OneNet.SELECTOR.ENABLED", True),
    "auxiliary": ("RetinaNet", "MODEL.OneNet.AUX.ASSIGNER", "MinCost"),
}


@pytest.fixture
def trained(tiny_cfg, make_inputs):
    """Make a config, a model and a batch whose images are not preprocessed in the step.

    Detectron2 pads by tensors of sizes, which are on the host whatever the device is.
    """

    def make(head, *options):
        cfg = tiny_cfg(head)
        assigners.add_assigners_config(cfg)
        cfg.merge_from_list(list(options))
        model = build_model(cfg).train()
        inputs = make_inputs()
        for image in inputs:
            image["ignore_boxes"] = torch.tensor([[2.0, 2, 40, 40]])
        images = model.preprocess_image(inputs)
        model.preprocess_image = lambda batch: replace_images(images, len(batch))
        return cfg, model, inputs

    return make


def replace_images(images, count):
    """The first images of a batch."""
    return ImageList(images.tensor[:count], images.image_sizes[:count])


@pytest.fixture
def step(trained):
    """Make a function that does the forward and the backward pass of a training step."""

    def make(head, *options):
        _, model, inputs = trained(head, *options)

        def function():
            losses = model(inputs)
            assert all(loss.requires_grad for loss in losses.values())
            sum(losses.values()).backward()

        return function

    return make


@pytest.mark.parametrize("head", HEADS)
def test_heads_and_losses(step, head):
    assert waits(step(*HEADS[head])) == []


@pytest.mark.parametrize("name", [name for name, _ in ASSIGNER_REGISTRY])
def test_losses_of_what_any_assigner_made(step, name):
    expected = ["cpu"] if name == "POTO" else []  # its solver is Hungarian
    head = "FCOS" if ("RetinaNet", name) in REFUSED else "RetinaNet"
    assert waits(step(head, "MODEL.OneNet.ASSIGNER.NAME", name)) == expected


@pytest.mark.parametrize("name", [name for name, _ in CRITERION_REGISTRY])
def test_rules_with_losses_of_their_own(step, name):
    heads = "RetinaNet", "FCOS", "CornerNet"
    head = next(head for head in heads if (head, name) not in REFUSED)
    options = "MODEL.OneNet.CENTERNESS", head != "CornerNet", "MODEL.OneNet.ASSIGNER.NAME", name
    assert waits(step(head, *options)) == []


@pytest.mark.parametrize("name", CLASS_LOSSES)
def test_class_losses(step, name):
    options = "MODEL.OneNet.CLASS_LOSS", name, "MODEL.OneNet.CLASS_TARGET", "iou"
    assert waits(step("FCOS", "MODEL.OneNet.SELECTOR.ENABLED", True, *options)) == []


@pytest.mark.parametrize("name", BOX_LOSSES)
def test_box_losses(step, name):
    assert waits(step("FCOS", "MODEL.OneNet.BOX_LOSS", name)) == []


STEPS = {
    "AdamW": (),
    "SGD": ("SOLVER.OPTIMIZER", "SGD"),
    "clipping": ("SOLVER.CLIP_GRADIENTS.ENABLED", True, *CLIP_ALL),
    "clipping of each": ("SOLVER.CLIP_GRADIENTS.ENABLED", True, "SOLVER.OPTIMIZER", "SGD"),
    "in parts": ("SOLVER.ACCUMULATE", 2),
    "stages in parts": ("SOLVER.ACCUMULATE", 2, "MODEL.OneNet.NUM_STAGES", 2),
}


@pytest.fixture
def whole_step(trained, monkeypatch):
    """Make a function that runs steps with their hooks, as on a GPU between two lines of the log.

    AMP is given a precision, or none.
    """
    monkeypatch.setattr("onenet.engine.step.on_host", lambda losses: False)

    def make(precision, *options):
        cfg, model, inputs = trained("CenterNet", *options)
        arguments = model, cycle([inputs]), build_optimizer(cfg, model)
        parts = {"num_parts": cfg.SOLVER.ACCUMULATE}
        if precision is None:
            step = Step(*arguments, **parts)
        else:
            step = AMPStep(*arguments, device="cpu", precision=precision, **parts)
        step.is_read = lambda iteration: False
        step.register_hooks([IterationTimer(), AssignmentTime(), AssignmentStatistics()])
        step.register_hooks([TrainingProgress(), MeanStepTime(), StepSeed(0)])
        step.max_iter, step.start_iter = 1000, 0
        step.storage = EventStorage()

        def function():
            with step.storage:
                step.before_train()
                for step.iter in range(3):
                    step.before_step()
                    step.run_step()
                    step.after_step()

        return function

    return make


@pytest.mark.parametrize("kind", STEPS)
def test_whole_steps(whole_step, kind):
    assert waits(whole_step(None, *STEPS[kind])) == []


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
def test_whole_steps_in_half_precision(whole_step, precision):
    assert waits(whole_step(precision, *STEPS["clipping"])) == []


VALUES, MASK = torch.tensor([1.0, 0.0, 2.0]), torch.tensor([True, False, True])
WAITING = {
    "item": lambda: VALUES[0].item(),
    "if": lambda: bool(VALUES[0] > 0),
    "mask": lambda: VALUES[MASK],
    "assignment by mask": lambda: VALUES.clone().__setitem__(MASK, VALUES[:2]),
    "repeat": lambda: VALUES.repeat_interleave(MASK.long()),
    "unique": lambda: VALUES.unique(),
    "list of tensors": lambda: torch.tensor([VALUES[0], VALUES[1]]),
    "list": lambda: VALUES.tolist(),
    "copy": lambda: VALUES.cpu(),
    "backward": lambda: VALUES.clone().requires_grad_().prod(dim=-1).backward(),
}


@pytest.mark.parametrize("kind", WAITING)
def test_each_kind_of_wait_is_seen(kind):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert waits(WAITING[kind])
