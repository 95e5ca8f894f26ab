"""How many operations of a GPU the assigners start: each takes some microseconds to launch.

What a launch costs hardly depends on what it does, and an assigner's are small ones.
"""

import pytest
import torch
from onenet import GroundTruth, Predictions
from torch.utils._python_dispatch import TorchDispatchMode

from .assigner_cases import NUM_CLASSES, VARIANTS, build, is_hungarian, map_tensors, priors_of

IMAGES, OBJECTS, SIZE = 16, 20, (512, 856)  # on the head of one level R = 27392
AT_MOST = {
    "MinCost": 60,
    ("MinCost", "REGION"): 90,
    "BestScore": 45,
    "FCOS": 50,
    "MaxIoU": 80,
    "ATSS": 80,
    "POTO": 85,
    "CenterNet": 120,
    "OneToFew": 135,
    "SimOTA": 160,
    "TAL": 270,
    "OTA": 470,  # 50 rounds of Sinkhorn's algorithm
    "PAA": 3830,  # 100 rounds of expectation maximisation
}
ALLOCATIONS = {"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided"}
CASES = [
    (name, options)
    for name in AT_MOST
    if isinstance(name, str)
    for options in [(), *VARIANTS.get(name, ())]
    if not is_hungarian(name, options)
]


class Launches(TorchDispatchMode):
    """Counts operators, but those that only make another view of a tensor or reserve memory."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        returns = function._schema.returns
        view = any(x.alias_info is not None and not x.alias_info.is_write for x in returns)
        name = function.overloadpacket.__name__
        self.count += not (view or name in {*ALLOCATIONS, "_unsafe_view"})
        return function(*args, **(kwargs or {}))


def launches(function):
    with Launches() as counter:
        function()
    return counter.count


def arguments():
    """Without content, in the layout of the head."""
    priors = map_tensors(priors_of("CenterNet", SIZE), lambda x: x.to("meta"))

    def empty(*shape, **options):
        return torch.empty(IMAGES, *shape, device="meta", **options)

    logits, boxes = empty(NUM_CLASSES, len(priors)), empty(4, len(priors))
    gt = GroundTruth(
        boxes=empty(OBJECTS, 4),
        labels=empty(OBJECTS, dtype=torch.int64),
        valid=empty(OBJECTS, dtype=torch.bool),
        image_size=empty(2),
    )
    return priors, Predictions(logits.transpose(1, 2), boxes.transpose(1, 2)), gt


@pytest.mark.parametrize("name, options", CASES)
def test_at_most_so_many(name, options):
    assigner = build("CenterNet", name, options, max_pairs=0).to("meta")
    priors, predictions, gt = arguments()
    assert len(priors) == 27392
    most = AT_MOST.get((name, *options[:1]), AT_MOST[name])
    assert 20 < launches(lambda: assigner(priors, predictions, gt)) <= most


def test_what_counts():
    x = torch.zeros(4, 3, device="meta")
    assert launches(lambda: x.t()[0].expand(2, -1)) == 0
    assert launches(lambda: torch.empty_like(x)) == 0
    assert launches(lambda: (x + 1).mul_(2)) == 2
    assert launches(lambda: x.t().contiguous()) == 1
    assert launches(lambda: x.t().reshape(-1)) == 1  # a copy
