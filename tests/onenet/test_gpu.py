"""What needs a GPU: steps of training on one, with PyTorch's check for waits set to raise.

On a machine without one these tests are skipped; what a CPU can tell is in test_waits.py,
test_device_copies.py and criterion/test_focal_kernels.py.
"""

from contextlib import contextmanager
from itertools import cycle

import assigners
import pytest
import torch
import torch.distributed as dist
from detectron2.engine.hooks import IterationTimer
from detectron2.utils.events import EventStorage
from onenet import ASSIGNER_REGISTRY
from onenet.criterion import CRITERION_REGISTRY, focal_losses
from onenet.criterion.focal_losses import negative_focal_loss
from onenet.engine import AssignmentStatistics, AssignmentTime, MeanStepTime, StepSeed, Trainer
from onenet.engine.hooks.progress import TrainingProgress
from onenet.engine.trainer import build_step

from ..refused import REFUSED

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here"),
]
DEVICE = "cuda"
RULES = [name for name, _ in [*ASSIGNER_REGISTRY, *CRITERION_REGISTRY] if name != "POTO"]
AMP = ("SOLVER.AMP.ENABLED", True, "SOLVER.AMP.PRECISION")
CLIP = ("SOLVER.CLIP_GRADIENTS.ENABLED", True, "SOLVER.CLIP_GRADIENTS.CLIP_TYPE", "full_model")
STEPS = {
    "float32": CLIP,
    "float16": (*AMP, "float16", *CLIP),
    "bfloat16": (*AMP, "bfloat16", *CLIP),
    "SGD": (*AMP, "float16", "SOLVER.OPTIMIZER", "SGD", *CLIP),
    "in parts": ("SOLVER.ACCUMULATE", 2),
    "in parts, float16": ("SOLVER.ACCUMULATE", 2, *AMP, "float16", *CLIP),
    "channels last": ("SOLVER.CHANNELS_LAST", True, *AMP, "bfloat16"),
}


@contextmanager
def no_waits():
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.fixture
def train(tiny_cfg, make_inputs):
    """Some steps with their hooks, the first ones to load kernels, then some that must not wait."""

    def train(head, *options, wrap=lambda model: model):
        torch.manual_seed(0)
        cfg = tiny_cfg(head)
        assigners.add_assigners_config(cfg)
        cfg.merge_from_list(["MODEL.DEVICE", DEVICE, *options])
        model = Trainer.build_model(cfg)
        batch = [{**x, "image": x["image"].pin_memory()} for x in make_inputs((2, 0))]
        optimizer = Trainer.build_optimizer(cfg, model)
        step = build_step(cfg, wrap(model), cycle([batch]), optimizer)
        step.is_read = lambda iteration: False
        step.register_hooks([IterationTimer(), AssignmentTime(), AssignmentStatistics()])
        step.register_hooks([TrainingProgress(), MeanStepTime(), StepSeed(0)])
        step.max_iter, step.start_iter = 1000, 0
        with EventStorage() as step.storage:
            step.before_train()
            run(step, range(3))
            with no_waits():
                run(step, range(3, 8))
            step._losses.write()
        assert len(step.storage.history("total_loss").values()) == 8
        return step

    return train


def run(step, iterations):
    for iteration in iterations:
        step.iter = step.storage.iter = iteration
        step.before_step()
        step.run_step()
        step.after_step()


@pytest.mark.parametrize("kind", STEPS)
def test_steps_wait_for_nothing(train, kind):
    train("CenterNet", *STEPS[kind])


@pytest.mark.parametrize("name", RULES)
def test_rules_wait_for_nothing(train, name):
    heads = "RetinaNet", "FCOS", "CornerNet"
    head = next(head for head in heads if (head, name) not in REFUSED)
    quality = "MODEL.OneNet.CENTERNESS", head != "CornerNet"
    train(head, *quality, "MODEL.OneNet.ASSIGNER.NAME", name)


def test_assignment_is_timed_on_the_device(train):
    seconds = [x for x, _ in train("CenterNet").storage.history("assign/time").values()]
    assert seconds and all(0 < x < 1 for x in seconds)


def test_a_process_of_nccl_waits_for_nothing(train, tmp_path):
    dist.init_process_group(
        "nccl", init_method=f"file://{tmp_path}/rendezvous", rank=0, world_size=1
    )
    try:
        train("CenterNet", wrap=torch.nn.parallel.DistributedDataParallel)
    finally:
        dist.destroy_process_group()


@pytest.mark.parametrize("weighted", [False, True])
def test_the_focal_loss_of_the_kernels_is_that_of_the_operators(monkeypatch, weighted):
    logits = (4 * torch.randn(2, 80, 5000, device=DEVICE) - 4).transpose(1, 2)
    weight = torch.rand(2, 5000, 1, device=DEVICE) if weighted else None
    found = []
    for fused in (True, False):
        monkeypatch.setattr(focal_losses, "FUSED", fused)
        x = logits.detach().requires_grad_()
        loss = negative_focal_loss(x, weight)
        loss.backward()
        found.append((loss.detach(), x.grad))
    torch.testing.assert_close(*found, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("precision", [(), (*AMP, "bfloat16")])
def test_compiled_steps_have_the_same_losses(train, precision):
    expected, found = (
        train("CenterNet", "SOLVER.COMPILE", compiled, *precision).storage.history("total_loss")
        for compiled in (False, True)
    )
    tolerance = 2e-2 if precision else 1e-3
    assert found.values()[0] == pytest.approx(expected.values()[0], rel=tolerance)
