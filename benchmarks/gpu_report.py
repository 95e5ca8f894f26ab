"""What benchmarks/gpu.py has measured, as JSON and as tables for docs/performance.md."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from gpu_step import PHASES, Setting, StepTime
from onenet.benchmark.detection import Stages, report_stages
from tabulate import tabulate


@dataclass
class Results:
    """Everything that was measured, and what was not and why.

    Attributes:
        steps: of training, with the settings.
        detectron2: steps of its models.
        stages: of an inference.
        assigners: milliseconds of ours, of another's, by name.
        launches: of the GPU in a step of the trace; None on a CPU.
        left_out: what there was no time for, or what is missing here.
    """

    steps: list[tuple[Setting, StepTime]] = field(default_factory=list)
    detectron2: list[tuple[str, Setting, StepTime]] = field(default_factory=list)
    stages: list[Stages] = field(default_factory=list)
    assigners: list[tuple[str, str, float, float]] = field(default_factory=list)
    launches: int | None = None
    left_out: list[tuple[str, str]] = field(default_factory=list)

    def find(self, **wanted: object) -> StepTime | None:
        """The first step whose setting has these values."""
        for setting, taken in self.steps:
            if all(getattr(setting, name) == value for name, value in wanted.items()):
                return taken
        return None


def environment(device: str) -> dict[str, str | None]:
    """What the times depend on."""
    gpu = device.startswith("cuda")
    return {
        "device": torch.cuda.get_device_name(device) if gpu else "cpu",
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "threads": str(torch.get_num_threads()),
    }


def save(results: Results, device: str, folder: Path) -> None:
    """Write gpu.json and gpu.md into a folder, each whole or not at all."""
    content = {"environment": environment(device), **asdict(results)}
    for name, text in {
        "gpu.json": json.dumps(content, indent=1),
        "gpu.md": tables(results, device),
    }.items():
        (folder / f"{name}.new").write_text(text)
        os.replace(folder / f"{name}.new", folder / name)


def tables(results: Results, device: str) -> str:
    """All tables, in Markdown."""
    about = ", ".join(f"{k} {v}" for k, v in environment(device).items() if v)
    parts = [f"Measured on: {about}.", steps_table(results.steps), ratios(results)]
    if results.detectron2:
        parts.append(detectron2_table(results))
    if results.assigners:
        parts.append(assigners_table(results))
    if results.stages:
        parts.append(report_stages(results.stages))
    if results.launches is not None:
        parts.append(f"Launches of kernels in a step of the trace: {results.launches}.")
    parts += [f"Not measured: {what} ({why})." for what, why in results.left_out]
    return "\n\n".join(parts) + "\n"


def steps_table(steps: Sequence[tuple[Setting, StepTime]]) -> str:
    """Phases in milliseconds, images a second, share of assignment and of the losses with it."""
    rows = [(*_described(setting), *_phases(taken), *_shares(taken)) for setting, taken in steps]
    headers = (
        *("config", "code", "size", "images", "precision", "layout", "compiled"),
        *(f"{phase}, ms" for phase in PHASES),
        *("step, ms", "images/s", "assignment", "with losses", "peak, GiB"),
    )
    return _table(rows, headers)


def detectron2_table(results: Results) -> str:
    """Detectron2's models; their forward pass has assignment and losses in it."""
    rows = [
        (name, *_described(setting)[2:5], *_phases(taken), *_shares(taken)[:2])
        for name, setting, taken in results.detectron2
    ]
    phases = (f"{phase}, ms" for phase in PHASES)
    headers = ("Detectron2's", "size", "images", "precision", *phases, "step, ms", "images/s")
    return _table(rows, headers)


def assigners_table(results: Results) -> str:
    """Assigners beside others."""
    rows = [
        (name, label, f"{theirs:.2f}", f"{own:.2f}", f"{theirs / own:.1f}x")
        for name, label, own, theirs in results.assigners
    ]
    return _table(rows, ("assigner", "beside", "theirs, ms", "ours, ms", "faster"))


def ratios(results: Results) -> str:
    """The goals of the step, where both sides were measured."""
    usual = {"config": "onenet_R50", "batch": 16}
    theirs = results.find(**usual, precision="float32", code="official")
    others = {
        "ours in the same precision": results.find(**usual, precision="float32", code="ours"),
        "ours in bfloat16, compiled": results.find(
            **usual, precision="bfloat16", compiled=True, code="ours"
        ),
    }
    lines = [
        f"{name}: {theirs.total / own.total:.2f}x as fast as the official step."
        for name, own in others.items()
        if theirs and own
    ]
    return "\n".join(lines) or "The official step at batch 16 was not measured beside ours."


def _described(setting: Setting) -> tuple[str, ...]:
    height, width = setting.size
    layout = "channels last" if setting.channels_last else "channels first"
    compiled = "yes" if setting.compiled else "no"
    size, images = f"{height} x {width}", str(setting.batch)
    return setting.config, setting.code, size, images, setting.precision, layout, compiled


def _phases(taken: StepTime) -> list[str]:
    return [f"{taken.milliseconds[x]:.2f}" if x in taken.milliseconds else "" for x in PHASES]


def _shares(taken: StepTime) -> tuple[str, ...]:
    assignment = taken.milliseconds.get("assignment", 0.0)
    losses = taken.milliseconds.get("losses", 0.0)
    peak = "" if taken.peak_bytes is None else f"{taken.peak_bytes / 2**30:.1f}"
    return (
        f"{taken.total:.1f}",
        f"{1000 * taken.images / taken.total:.1f}",
        f"{100 * assignment / taken.total:.2f} %",
        f"{100 * (assignment + losses) / taken.total:.2f} %",
        peak,
    )


def _table(rows: Sequence[tuple], headers: Sequence[str]) -> str:
    return tabulate(rows, headers=headers, tablefmt="pipe", disable_numparse=True)
