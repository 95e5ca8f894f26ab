"""One step of training on a GPU (or a CPU) in phases: ours, the official code's, Detectron2's."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import official_step
import torch
from assigners import add_assigners_config
from detectron2.config import CfgNode
from detectron2.utils.events import EventStorage
from onenet.benchmark.step import random_batches
from onenet.criterion import LearnedCriterion
from onenet.engine import Trainer, build_optimizer, setup_cfg
from onenet.engine.step import PRECISIONS
from torch import Tensor, nn

CONFIGS = Path(__file__).parents[1] / "configs"
PHASES = ("forward", "assignment", "losses", "backward", "optimizer")
Mark = Callable[[str], None]


@dataclass(frozen=True)
class Setting:
    """What is trained, and how.

    Attributes:
        config: a file of ``configs``, without its ending.
        size: height and width of the images in pixels.
        batch: images.
        precision: "float32" (with TF32 on a GPU), "float16" or "bfloat16".
        channels_last, compiled: the keys of ``SOLVER``.
        code: "ours", "official" or "official, argmin": whose assignment and losses.
    """

    config: str
    size: tuple[int, int]
    batch: int
    precision: str = "float32"
    channels_last: bool = False
    compiled: bool = False
    code: str = "ours"

    def cfg(self, device: str) -> CfgNode:
        """The config, with random weights."""
        options = ["MODEL.DEVICE", device, "MODEL.WEIGHTS", ""]
        options += ["SOLVER.CHANNELS_LAST", self.channels_last, "SOLVER.COMPILE", self.compiled]
        file = CONFIGS / f"{self.config}.yaml"
        return setup_cfg(str(file), list(map(str, options)), add_configs=[add_assigners_config])


@dataclass(frozen=True)
class StepTime:
    """Of a step, medians.

    Attributes:
        milliseconds: of each phase of :data:`PHASES` that the code has.
        images: in a step.
        peak_bytes: most memory of the GPU in use; None on a CPU.
    """

    milliseconds: dict[str, float]
    images: int
    peak_bytes: int | None

    @property
    def total(self) -> float:
        """Milliseconds of the step."""
        return sum(self.milliseconds.values())


class Watch:
    """Times phases: by events in the stream of a GPU, else by the clock on the wall."""

    def __init__(self, device: str):
        self.on_gpu = device.startswith("cuda")
        self.marks: list[tuple[str, torch.cuda.Event | float]] = []

    def __call__(self, phase: str) -> None:
        """Say that what was done since the last mark is of this phase."""
        if self.on_gpu:
            mark = torch.cuda.Event(enable_timing=True)
            mark.record()
        else:
            mark = time.perf_counter()
        self.marks.append((phase, mark))

    def milliseconds(self) -> dict[str, float]:
        """Of each phase, all its times together."""
        if self.on_gpu:
            torch.cuda.synchronize()
        phases: dict[str, float] = {}
        for (_, start), (name, end) in zip(self.marks, self.marks[1:], strict=False):
            taken = start.elapsed_time(end) if self.on_gpu else 1000 * (end - start)
            phases[name] = phases.get(name, 0.0) + taken
        return phases


def measure(
    step: Callable[[Mark], None], images: int, device: str, iterations: int, warmup: int
) -> StepTime:
    """Time a step.

    Args:
        step: does one, and marks the ends of its phases; first "" at the begin.
        images: of a step.
        device: where it runs.
        iterations, warmup: how often it is timed, and how often it is done before.
    """
    for _ in range(warmup):
        step(Watch(device))
    on_gpu = device.startswith("cuda")
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    taken = []
    for _ in range(iterations):
        watch = Watch(device)
        step(watch)
        taken.append(watch.milliseconds())
    medians = {name: median(x[name] for x in taken) for name in taken[0]}
    return StepTime(medians, images, torch.cuda.max_memory_allocated() if on_gpu else None)


class OneNetStep:
    """A step of a OneNet with assignment and losses of a given code, on random images."""

    def __init__(self, setting: Setting, device: str):
        self.setting, self.device = setting, device
        cfg = setting.cfg(device)
        self.model = Trainer.build_model(cfg).train()
        self.optimizer = build_optimizer(cfg, self.model)
        half = setting.precision != "float32"
        self.precision = PRECISIONS[setting.precision] if half else None
        kind = torch.device(device).type
        self.scaler = torch.amp.GradScaler(kind, enabled=self.precision == torch.float16)
        (inputs,) = random_batches(cfg, setting.batch, setting.size)
        self.images = self.model.preprocess_image(inputs).tensor
        self.gt = self.model.ground_truth(inputs)

    def __call__(self, mark: Mark) -> None:
        mark("")
        self.optimizer.zero_grad()
        with autocast(self.device, self.precision):
            outputs = self.model.network(self.images)
            mark("forward")
            losses = ours if self.setting.code == "ours" else official
            total = losses(self, outputs, mark)
        self.scaler.scale(total).backward()
        mark("backward")
        self.scaler.unscale_(self.optimizer)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        mark("optimizer")


def ours(step: OneNetStep, outputs: tuple, mark: Mark) -> Tensor:
    """The losses of all branches, summed."""
    features, branches, priors = outputs
    total = []
    for branch, predictions in branches.items():
        criterion = step.model.criteria[branch]
        if isinstance(criterion, LearnedCriterion):  # which assigns in its losses
            losses = criterion(priors, predictions, step.gt, features)
        else:
            assignment = criterion.assign(priors, predictions, step.gt)
            mark("assignment")
            losses = criterion.weigh(priors, predictions, step.gt, assignment)
        total += losses.values()
        mark("losses")
    return sum(total)


def official(step: OneNetStep, outputs: tuple, mark: Mark) -> Tensor:
    """The same of the official code, for the one branch that it has."""
    _, branches, _ = outputs
    predictions = next(iter(branches.values())).float()
    solver = "argmin" if step.setting.code.endswith("argmin") else "hungarian"
    with torch.autocast(torch.device(step.device).type, enabled=False):
        matches = official_step.match(predictions.detach(), step.gt, solver)
        mark("assignment")
        losses = official_step.losses(predictions, step.gt, matches)
    mark("losses")
    return sum(losses.values())


class DetectronStep:
    """A step of a model of Detectron2, from preprocessing to the update, in three phases."""

    def __init__(self, model: nn.Module, setting: Setting, device: str):
        self.model, self.device = model.to(device).train(), device
        self.precision = PRECISIONS.get(setting.precision)
        self.optimizer = torch.optim.AdamW(model.parameters(), 1e-4, fused=True)
        (self.inputs,) = random_batches(setting.cfg(device), setting.batch, setting.size)
        self.storage = EventStorage()  # the models write into the one that is open

    def __call__(self, mark: Mark) -> None:
        mark("")
        self.optimizer.zero_grad()
        with self.storage, autocast(self.device, self.precision):
            losses = self.model(self.inputs)
        mark("forward")  # with assignment and losses, which are inside
        sum(losses.values()).backward()
        mark("backward")
        self.optimizer.step()
        mark("optimizer")


def detectron2_models() -> dict[str, Callable[[], nn.Module]]:
    """Detectron2's RetinaNet and FCOS by name, where its configs of them are installed."""
    import detectron2
    from detectron2.config import LazyConfig, instantiate

    def build(file: Path) -> nn.Module:
        return instantiate(LazyConfig.load(str(file)).model)

    folder = Path(detectron2.__file__).parent / "model_zoo/configs/common/models"
    files = {name: folder / f"{name.lower()}.py" for name in ("RetinaNet", "FCOS")}
    return {name: partial(build, file) for name, file in files.items() if file.exists()}


def autocast(device: str, precision: torch.dtype | None) -> AbstractContextManager:
    """Half precision, or none."""
    if precision is None:
        return nullcontext()
    return torch.autocast(torch.device(device).type, dtype=precision)


def matrix(
    configs: Sequence[str], sizes: Sequence[tuple[int, int]], batches: Sequence[int]
) -> list[Setting]:
    """All settings, the most telling first: those that differ in little from the usual one."""
    flags = (False, True)
    settings = [
        Setting(config, size, batch, precision, channels_last, compiled)
        for config in configs
        for size in sizes
        if size == sizes[0] or "fcos" in config or "retinanet" in config
        for batch in batches
        for precision in ("float32", "bfloat16", "float16")
        for channels_last in flags
        for compiled in flags
    ]

    def unusual(setting: Setting) -> int:
        half = setting.precision != "float32"
        return (
            2 * configs.index(setting.config)
            + 3 * sizes.index(setting.size)
            + 3 * batches.index(setting.batch)
            + {"float32": 0, "bfloat16": 0, "float16": 2}[setting.precision]
            + (2 if setting.channels_last != half else 0)  # tensor cores like it
            + (1 if setting.compiled and half else 4 if setting.compiled else 0)
        )

    return sorted(settings, key=unusual)
