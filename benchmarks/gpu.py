"""Everything that a GPU is to be fast at, measured in one run of at most 8 minutes.

    python benchmarks/gpu.py --out DIR [--device cuda] [--minutes 8] [--quick]

Random weights and made images: no dataset is needed. It writes into DIR, after every measurement,
gpu.json (all numbers), gpu.md (tables for docs/performance.md) and at the end trace.json.gz (for
https://ui.perfetto.dev). What is measured, the most telling first:

- the phases of a training step of each recipe, by size, batch, precision, memory layout, and with
  torch.compile; beside it the same network with assignment and losses of the official code;
- inference, top-k beside the tail of a detector with NMS, in PyTorch, and in onnxruntime where it
  runs on that device;
- the assigners beside those of mmdetection and loops like the original codes' (see
  benchmarks/assignment.py), where these are installed;
- Detectron2's own RetinaNet and FCOS, where its configs of them are installed.

What there is no time for is left out, the least telling first, and named. --quick takes the
smallest images and few settings, to see on a CPU whether it runs: `--device cpu --quick`.
"""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import onenet  # first: it makes older Detectron2 versions importable

# isort: split
import torch
from detectron2.utils.logger import setup_logger
from gpu_report import Results, save
from gpu_step import DetectronStep, OneNetStep, Setting, Watch, detectron2_models, matrix, measure
from onenet.benchmark.detection import time_stages
from torch.profiler import ProfilerActivity, profile

logger = logging.getLogger("onenet.benchmarks.gpu")

CONFIGS = (
    "onenet_R50", "onenet_fcos_R50", "onenet_retinanet_R50", "onenet_R50_dcn",
    "onenet_fcos_R50_selector",
)  # fmt: skip
SIZES = (512, 853), (800, 1333)
BATCHES = (16, 8)
QUICK = {"configs": ("digits/onenet_R18_digits",), "sizes": ((64, 96),), "batches": (2,)}
CODES = "official", "official, argmin"
OBJECTS = 20  # of an image, for the assigners alone
# Seconds that a measurement is expected to take, before one of its kind has been made.
EXPECTED = {"step": 10, "compiled": 75, "inference": 25, "export": 120, "assigners": 30,
            "trace": 15}  # fmt: skip


class Budget:
    """The time of the run: what is not expected to fit any more is left out, and said."""

    def __init__(self, minutes: float, results: Results, write: Callable[[], None]):
        self.end = time.perf_counter() + 60 * minutes
        self.results = results
        self.write = write
        self.expected = dict(EXPECTED)

    def spend(self, kind: str, what: str, measure: Callable[[], None]) -> None:
        """Measure something, if there is time; an error is one more reason why it is missing."""
        if time.perf_counter() + self.expected[kind] > self.end:
            self.results.left_out.append((what, "no time"))
            return
        logger.info("%s ...", what)
        start = time.perf_counter()
        try:
            measure()
        except Exception as error:  # out of memory above all: the others are measured all the same
            self.results.left_out.append((what, f"{type(error).__name__}: {str(error)[:200]}"))
            logger.warning("%s: %s", what, error)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        self.expected[kind] = time.perf_counter() - start
        self.write()


class Benchmark:
    """Measures into results.

    Args:
        device: where.
        is_quick: whether to see only that it runs.
        results: where to.
    """

    def __init__(self, device: str, is_quick: bool, results: Results):
        self.device, self.is_quick, self.results = device, is_quick, results
        self.times = {"iterations": 1, "warmup": 1} if is_quick else {"iterations": 10, "warmup": 3}

    def settings(self) -> list[Setting]:
        """What to measure of training, the most telling first."""
        if not self.is_quick:
            return matrix(CONFIGS, SIZES, BATCHES)
        return [x for x in matrix(**QUICK) if x.precision != "float16" and not x.compiled]

    def step(self, setting: Setting) -> None:
        """Of a OneNet."""
        torch._dynamo.reset()
        step = OneNetStep(setting, self.device)
        taken = measure(step, setting.batch, self.device, **self.times)
        self.results.steps.append((setting, taken))

    def detectron2(self, name: str, build: Callable, setting: Setting) -> None:
        """Of one of Detectron2's models."""
        step = DetectronStep(build(), setting, self.device)
        taken = measure(step, setting.batch, self.device, **self.times)
        self.results.detectron2.append((name, setting, taken))

    def inference(self, setting: Setting, images: int, runtime: str) -> None:
        """Stages of a batch."""
        self.results.stages += time_stages(
            setting.cfg(self.device), setting.size, [images], [runtime], **self.times,
            devices=[torch.device(self.device).type],
        )  # fmt: skip

    def assigners(self) -> None:
        """Alone, beside others."""
        import assignment
        from timing import compare

        for name, own, theirs in assignment.benchmarks(OBJECTS, self.device):
            taken = compare({"": own, **theirs}, rounds=2 if self.is_quick else 7)
            self.results.assigners += [
                (name, label, 1000 * taken[""].seconds, 1000 * taken[label].seconds)
                for label in theirs
            ]

    def trace(self, setting: Setting, folder: Path) -> None:
        """A timeline of a step, and how many kernels are launched in it."""
        step = OneNetStep(setting, self.device)
        on_gpu = self.device.startswith("cuda")
        for _ in range(self.times["warmup"]):
            step(Watch(self.device))
        kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
        with profile(activities=kinds) as profiler:
            step(Watch(self.device))
        profiler.export_chrome_trace(str(folder / "trace.json.gz"))
        if on_gpu:
            calls = {event.key: event.count for event in profiler.key_averages()}
            self.results.launches = sum(n for key, n in calls.items() if "LaunchKernel" in key)


def run(benchmark: Benchmark, budget: Budget, folder: Path) -> None:
    """Measure all of it in the order of what it tells."""
    usual, *others = benchmark.settings()
    half = replace(usual, precision="bfloat16", channels_last=True)
    quick = benchmark.is_quick
    for setting in (usual, *(replace(usual, code=code) for code in CODES), half):
        budget.spend("step", str(setting), partial(benchmark.step, setting))
    if not quick:
        compiled = replace(half, compiled=True)
        budget.spend("compiled", str(compiled), partial(benchmark.step, compiled))
    budget.spend("trace", "trace", partial(benchmark.trace, half, folder))
    for images in (1,) if quick else (1, 32):
        inference = partial(benchmark.inference, usual, images, "pytorch")
        budget.spend("inference", f"inference of {images} images", inference)
    if not quick:
        budget.spend("assigners", "assigners", benchmark.assigners)
    run_detectron2(benchmark, budget, usual)
    for setting in others:
        if setting not in [x for x, _ in benchmark.results.steps]:
            kind = "compiled" if setting.compiled else "step"
            budget.spend(kind, str(setting), partial(benchmark.step, setting))
    if not quick:
        run_onnxruntime(benchmark, budget, usual)


def run_detectron2(benchmark: Benchmark, budget: Budget, usual: Setting) -> None:
    """Detectron2's models at the size of pyramids, or say that they are missing."""
    models = detectron2_models()
    for name in ("RetinaNet", "FCOS"):
        if name not in models:
            missing = f"Detectron2's {name}", "its config of it is not installed"
            benchmark.results.left_out.append(missing)
            continue
        setting = usual if benchmark.is_quick else replace(usual, size=SIZES[-1])
        measured = partial(benchmark.detectron2, name, models[name], setting)
        budget.spend("step", f"Detectron2's {name}", measured)


def run_onnxruntime(benchmark: Benchmark, budget: Budget, usual: Setting) -> None:
    """Inference in onnxruntime, or say why not."""
    from onenet.export.onnx_file import check_installed

    try:
        check_installed()
        from onenet.export.runtimes import device_types
    except (ImportError, onenet.UserError) as error:
        benchmark.results.left_out.append(("onnxruntime", str(error)))
        return
    if torch.device(benchmark.device).type not in device_types():
        benchmark.results.left_out.append(("onnxruntime", "it has no provider for the device"))
        return
    for images in (1, 32):
        inference = partial(benchmark.inference, usual, images, "onnxruntime")
        budget.spend("export", f"inference of {images} images in onnxruntime", inference)


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--quick", action="store_true", help="smallest images, few settings")
    return parser.parse_args()


def main() -> None:
    """Measure and write."""
    args = parse_args()
    if args.device.startswith("cuda") and not torch.cuda.is_available():
        raise SystemExit("There is no GPU here; `--device cpu --quick` shows whether it runs.")
    args.out.mkdir(parents=True, exist_ok=True)
    setup_logger(name="onenet")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    results = Results()
    write = partial(save, results, args.device, args.out)
    budget = Budget(args.minutes, results, write)
    run(Benchmark(args.device, args.quick, results), budget, args.out)
    write()
    print((args.out / "gpu.md").read_text())


if __name__ == "__main__":
    main()
