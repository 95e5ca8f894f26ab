from types import SimpleNamespace

import assigners
import pytest
import torch
from onenet import ASSIGNER_REGISTRY, ConfigError, GroundTruth, Predictions, build_assigner
from onenet.assignment.pieces import CPU_PAIRS, piece_size
from onenet.modeling.heads.priors import point_priors
from torch.utils._python_dispatch import TorchDispatchMode

from ...refused import REFUSED

pytestmark = pytest.mark.numeric

CPU, META, CUDA = map(torch.device, ("cpu", "meta", "cuda"))
NAMES = [name for name, _ in ASSIGNER_REGISTRY]
STRIDES = (8, 16, 32, 64, 128)
BATCH, OBJECTS, CLASSES = 16, 60, 80
HEIGHT, WIDTH = 800, 1344  # R = 22400 on these levels, so that a value of all pairs takes 86 MB
# Two pieces of five levels; every level of every piece takes about thirty.
LAUNCHES = 300
# Those that repeat themselves take more: nine shapes, 50 times Sinkhorn, 100 times expectation and
# maximisation.
MORE_LAUNCHES = {"ApproxMaxIoU": 9 * 60, "OTA": 50 * 20, "PAA": 100 * 40}


class Launches(TorchDispatchMode):
    """Counts operators; a view is no launch."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        results = [result.alias_info for result in func._schema.returns]
        self.count += not any(alias and not alias.is_write for alias in results)
        return func(*args, **(kwargs or {}))


@pytest.fixture
def build(tiny_cfg):
    def build(name, max_pairs):
        cfg = tiny_cfg("RetinaNet" if ("FCOS", name) in REFUSED else "FCOS")
        assigners.add_assigners_config(cfg)
        cfg.MODEL.OneNet.ASSIGNER.NAME = name
        cfg.merge_from_list(["MODEL.OneNet.ASSIGNER.MAX_PAIRS", max_pairs])
        cfg.MODEL.OneNet.ASSIGNER.POTO.SOLVER = "argmax"  # the other one runs on the CPU
        return build_assigner(cfg)

    return build


def count_launches(assigner):
    """Of one call on a device that is no CPU."""
    maps = [torch.empty(1, 1, -(-HEIGHT // s), -(-WIDTH // s), device=META) for s in STRIDES]
    priors = point_priors(maps, STRIDES, 8.0)
    assert len(priors) == 22400
    gt = GroundTruth(
        boxes=torch.empty(BATCH, OBJECTS, 4, device=META),
        labels=torch.empty(BATCH, OBJECTS, dtype=torch.int64, device=META),
        valid=torch.empty(BATCH, OBJECTS, dtype=torch.bool, device=META),
        image_size=torch.empty(BATCH, 2, device=META),
    )
    predictions = Predictions(
        torch.empty(BATCH, len(priors), CLASSES, device=META),
        torch.empty(BATCH, len(priors), 4, device=META),
    )
    with Launches() as launches:
        assigner.to(META)(priors, predictions, gt)
    return launches.count


@pytest.mark.parametrize("name", NAMES)
def test_a_large_batch_takes_few_launches_off_the_cpu(build, name):
    by_device, by_hand = (count_launches(build(name, pairs)) for pairs in (0, 1 << 20))
    assert 0 < by_device <= LAUNCHES + MORE_LAUNCHES.get(name, 0)
    assert by_device < by_hand


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("max_pairs", [0, None, 1, 1 << 30])
def test_max_pairs_is_a_key(build, name, max_pairs):
    assert build(name, max_pairs).max_pairs == max_pairs


@pytest.mark.parametrize("name", NAMES)
def test_a_negative_number_is_refused(build, name):
    with pytest.raises(ConfigError, match="MAX_PAIRS must be positive, or 0.*got -5"):
        build(name, -5)


def test_a_piece_has_as_many_pairs_as_are_allowed():
    assert piece_size(1000, 30, CPU) == piece_size(1000, 30, META) == 33
    assert piece_size(20, 30, CPU) == 1
    assert piece_size(20, 0, CPU) == 20


@pytest.mark.parametrize("max_pairs", [0, None])
def test_by_device(max_pairs, monkeypatch):
    assert piece_size(max_pairs, 4, CPU) == CPU_PAIRS // 4
    gpu = SimpleNamespace(total_memory=8 << 30)
    monkeypatch.setattr(torch.cuda, "get_device_properties", {CUDA: gpu}.get)
    small = piece_size(max_pairs, 1, CUDA)
    gpu.total_memory *= 10
    assert piece_size(max_pairs, 1, CUDA) == pytest.approx(10 * small, rel=1e-6)
    assert small > CPU_PAIRS
    assert piece_size(max_pairs, 1, META) == small  # nobody knows that one's memory
