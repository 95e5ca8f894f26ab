"""Time and peak memory of functions, side by side."""

from __future__ import annotations

import ctypes
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

STATUS = Path("/proc/self/status")
CLEAR_REFS = Path("/proc/self/clear_refs")
RESET_PEAK = "5"  # see proc_pid_clear_refs(5)


@dataclass(frozen=True)
class Measurement:
    """Of one function.

    Attributes:
        seconds: median time of a call, on the clock on the wall; with one thread on a CPU of the
            processor, which does not count what other programs do.
        peak_bytes: how much more memory is in use at the worst moment of a call than before it;
            None where the system cannot tell.
    """

    seconds: float
    peak_bytes: int | None


def measure(function: Callable[[], object], rounds: int = 15) -> Measurement:
    """Measure one function, see :func:`compare`."""
    return compare({"": function}, rounds)[""]


def compare(
    functions: Mapping[str, Callable[[], object]], rounds: int = 15
) -> dict[str, Measurement]:
    """Measure functions in turns, so that other load on the machine hits them alike.

    Each is called once to warm up, then once a round. What the functions return counts to their
    memory and is freed before the next call.
    """
    for function in functions.values():
        function()
    seconds = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            seconds[name].append(_seconds(function))
    return {
        name: Measurement(statistics.median(seconds[name]), peak_memory(function))
        for name, function in functions.items()
    }


def peak_memory(function: Callable[[], object]) -> int | None:
    """Additional memory of a call in bytes.

    On a GPU this is what PyTorch's allocator hands out. On a CPU it is the rise of the process's
    resident memory (Linux only), which sees NumPy and temporaries inside of operators too. Freed
    memory is given back to the system first, so that the call cannot hide in what is left over.
    """
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        function()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    try:
        ctypes.CDLL(None).malloc_trim(0)
        CLEAR_REFS.write_text(RESET_PEAK)
        before = _resident("VmRSS")
        function()
        return max(0, _resident("VmHWM") - before)
    except (OSError, AttributeError):
        return None


def _seconds(function: Callable[[], object]) -> float:
    on_cpu = torch.get_num_threads() == 1 and not torch.cuda.is_initialized()
    clock = time.process_time if on_cpu else time.perf_counter
    _synchronize()
    start = clock()
    result = function()
    _synchronize()
    elapsed = clock() - start
    del result
    return elapsed


def _synchronize() -> None:
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


def _resident(field: str) -> int:
    for line in STATUS.read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise OSError(f"{STATUS} has no {field}")
