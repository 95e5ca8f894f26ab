"""How long an iteration of training, of evaluation and of the data loader takes.

A task is a function of a config and of batches; it returns what does one iteration. Others, of
another runtime say, need no more than that: :func:`measure` times any of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from statistics import median

import torch
from detectron2.config import CfgNode
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage
from tabulate import tabulate

from ..data import build_test_loader, build_train_loader
from ..engine.trainer import Trainer, build_step

Batch = list[dict]
OBJECTS_PER_IMAGE = 7  # of random images; COCO has 7.3 on average


@dataclass(frozen=True)
class Timing:
    """Of one task.

    Attributes:
        name: of the task.
        seconds: of an iteration, the median.
        slowest: of an iteration, the maximum.
        images: in an iteration.
    """

    name: str
    seconds: float
    slowest: float
    images: int


def measure(
    name: str, iteration: Callable[[], object], images: int, iterations: int, warmup: int
) -> Timing:
    """Time a function that does one iteration.

    Args:
        name: of the task.
        iteration: what to time; work that it leaves on a GPU is waited for.
        images: how many it handles.
        iterations: how often it is timed.
        warmup: how often it is called before that.
    """
    seconds = measure_in_turns({name: iteration}, iterations, warmup)[name]
    return Timing(name, median(seconds), max(seconds), images)


def measure_in_turns(
    functions: Mapping[str, Callable[[], object]],
    iterations: int,
    warmup: int,
    clock: Callable[[], float] | None = None,
) -> dict[str, list[float]]:
    """Time functions one after the other, over and over: other load hits them alike.

    Args:
        functions: what to time, by name.
        iterations: how often each is timed.
        warmup: how often each is called before that.
        clock: gives seconds, ``time.perf_counter`` by default.

    Returns:
        The seconds of each call, by the name of the function.
    """
    clock = clock or time.perf_counter
    for _ in range(warmup):
        for function in functions.values():
            function()
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(iterations):
        for name, function in functions.items():
            _wait_for_gpu()
            start = clock()
            function()
            _wait_for_gpu()
            seconds[name].append(clock() - start)
    return seconds


def _wait_for_gpu() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def train_task(cfg: CfgNode, batches: Sequence[Batch]) -> Callable[[], None]:
    """A step of training: losses, gradients and optimizer, with AMP if the config says so."""
    model = Trainer.build_model(cfg).train()
    trainer = build_step(cfg, model, cycle(batches), Trainer.build_optimizer(cfg, model))

    def iteration() -> None:
        with EventStorage():
            trainer.run_step()

    return iteration


def eval_task(cfg: CfgNode, batches: Sequence[Batch]) -> Callable[[], None]:
    """Detections of one batch, the post-processing included."""
    model = Trainer.build_model(cfg).eval()
    endless = cycle(batches)

    @torch.no_grad()
    def iteration() -> None:
        model(next(endless))

    return iteration


def data_task(cfg: CfgNode) -> Callable[[], None]:
    """A batch of the training loader, with the workers of the config."""
    batches = iter(build_train_loader(cfg))
    return lambda: next(batches)


def training_batches(cfg: CfgNode, count: int) -> list[Batch]:
    """The first batches of the training loader."""
    return list(islice(build_train_loader(cfg), count))


def test_batches(cfg: CfgNode, count: int) -> list[Batch]:
    """The first batches of the first test dataset, of one image each."""
    return list(islice(build_test_loader(cfg, cfg.DATASETS.TEST[0]), count))


def random_batches(
    cfg: CfgNode, images: int, size: tuple[int, int], count: int = 1, seed: int = 0
) -> list[Batch]:
    """Random images with random objects, where there is no data.

    Args:
        cfg: read for the number of classes.
        images: of a batch.
        size: height and width in pixels.
        count: of batches.
        seed: of the random numbers.
    """
    generator = torch.Generator().manual_seed(seed)
    classes = cfg.MODEL.OneNet.NUM_CLASSES
    return [[_random_sample(size, classes, generator) for _ in range(images)] for _ in range(count)]


def _random_sample(size: tuple[int, int], classes: int, generator: torch.Generator) -> dict:
    height, width = size
    corners = torch.rand(OBJECTS_PER_IMAGE, 2, 2, generator=generator)
    corners = corners.sort(dim=1).values * torch.tensor([width, height])
    instances = Instances(size)
    instances.gt_boxes = Boxes(corners.flatten(1))
    instances.gt_classes = torch.randint(classes, (OBJECTS_PER_IMAGE,), generator=generator)
    image = torch.randint(256, (3, *size), generator=generator, dtype=torch.uint8)
    return {"image": image, "instances": instances, "height": height, "width": width}


def report(timings: Sequence[Timing]) -> str:
    """A table of timings, each beside its ratio to the first."""
    first = timings[0].seconds
    rows = [
        (t.name, f"{t.seconds:.4f}", f"{t.slowest:.4f}", f"{t.images / t.seconds:.2f}",
         f"{t.seconds / first:.2f}")
        for t in timings
    ]  # fmt: skip
    return tabulate(
        rows,
        headers=("task", "s/iter", "slowest", "images/s", f"s/iter : {timings[0].name}"),
        tablefmt="pipe",
        disable_numparse=True,
        colalign=("left", *["right"] * 4),
    )
