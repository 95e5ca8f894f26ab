"""Nothing is copied to the device while a step computes its losses.

A copy from memory that is not pinned makes the host wait, and no other check sees it on a CPU. So
the tensors pretend to be on a GPU: they have its name, and no content.
"""

from types import SimpleNamespace

import assigners
import pytest
import torch
from detectron2.modeling import build_model
from onenet import ASSIGNER_REGISTRY, GroundTruth
from onenet.criterion import BOX_LOSSES, CLASS_LOSSES, CRITERION_REGISTRY, SUBSAMPLERS, focal_losses
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from ..refused import REFUSED

GPU = "cuda"
IMAGES, OBJECTS = 2, 3
HEADS = {
    "plain": ("CenterNet",),
    "deformable": ("CenterNet", "MODEL.OneNet.DCN", True),
    "cascade": ("CenterNet", "MODEL.OneNet.NUM_STAGES", 3),
    "selector": ("FCOS", "MODEL.OneNet.SELECTOR.ENABLED", True),
    "auxiliary": ("RetinaNet", "MODEL.OneNet.AUX.ASSIGNER", "MinCost"),
    "fusion": ("FCOS", "MODEL.OneNet.NECK", "ASFF"),
}
RULES = [name for name, _ in ASSIGNER_REGISTRY if name != "POTO"]  # its solver is on the host
LEARNED = [name for name, _ in CRITERION_REGISTRY]


class Copies(TorchDispatchMode):
    """Collects the operators that bring a tensor of the host onto the device."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        name = function.overloadpacket.__name__
        on_host = any(isinstance(x, torch.Tensor) and x.device.type == "cpu" for x in args)
        if name in ("_to_copy", "copy_") and on_host and result.device.type == GPU:
            self.names.append(name)
        return result


@pytest.fixture
def gpu(monkeypatch):
    """Whatever is made within is on a GPU that is not there."""
    memory = SimpleNamespace(total_memory=8 << 30)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: memory)
    monkeypatch.setattr(focal_losses, "FUSED", False)
    monkeypatch.setattr(torch.nn.Module, "to", lambda module, *args, **kwargs: module)
    with FakeTensorMode(), torch.device(GPU):
        yield


@pytest.fixture
def copies(gpu, tiny_cfg):
    def count(head, *options):
        cfg = tiny_cfg(head, "MODEL.DEVICE", GPU)
        assigners.add_assigners_config(cfg)
        cfg.merge_from_list(list(options))
        model = build_model(cfg).train()
        gt = GroundTruth(
            boxes=torch.rand(IMAGES, OBJECTS, 4),
            labels=torch.zeros(IMAGES, OBJECTS, dtype=torch.int64),
            valid=torch.ones(IMAGES, OBJECTS, dtype=torch.bool),
            image_size=torch.ones(IMAGES, 2),
            ignore_boxes=torch.ones(IMAGES, 1, 4),
        )
        images = torch.rand(IMAGES, 3, 64, 96)
        with Copies() as seen:
            losses = model.losses(images, gt)
        assert all(loss.device.type == GPU for loss in losses.values())
        return seen.names

    return count


@pytest.mark.parametrize("head", HEADS)
def test_heads(copies, head):
    assert copies(*HEADS[head]) == []


@pytest.mark.parametrize("name", [*RULES, *LEARNED])
def test_rules(copies, name):
    heads = "RetinaNet", "FCOS", "CornerNet"
    head = next(head for head in heads if (head, name) not in REFUSED)
    quality = "MODEL.OneNet.CENTERNESS", head != "CornerNet"
    assert copies(head, *quality, "MODEL.OneNet.ASSIGNER.NAME", name) == []


@pytest.mark.parametrize(
    ("key", "name"),
    [
        *(("CLASS_LOSS", name) for name in CLASS_LOSSES),
        *(("BOX_LOSS", name) for name in BOX_LOSSES),
        *(("SUBSAMPLER.NAME", name) for name in SUBSAMPLERS),
    ],
)
def test_losses_and_subsamplers(copies, key, name):
    rule = "MODEL.OneNet.ASSIGNER.NAME", "MaxIoU", "MODEL.OneNet.CLASS_TARGET", "iou"
    assert copies("FCOS", *rule, f"MODEL.OneNet.{key}", name) == []


def test_a_copy_is_seen(gpu):
    x = torch.zeros(2)
    with Copies() as seen:
        x.new_tensor([1.0, 2.0])
    assert seen.names
