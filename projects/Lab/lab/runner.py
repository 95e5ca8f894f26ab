"""Train every run of an experiment in a process of its own, several at a time."""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import torch
from onenet.engine.metrics_file import final_results, read_metrics
from onenet.errors import UserError

from .console import CONSOLE, FAILURE, failure_text, note_failure
from .experiment import Run
from .progress import Progress

LOCK = ".lock"
POLL_SECONDS = 0.5
PATIENCE = 10  # seconds for a process to end when asked to


@dataclass(frozen=True)
class Job:
    """A run that is to be trained: its command line and the length of training."""

    run: Run
    command: Sequence[str]
    max_iter: int

    @property
    def finished(self) -> bool:
        """Whether it has been trained and evaluated to the end."""
        return bool(final_results(read_metrics(self.run.output_dir), self.max_iter))


def make_job(run: Run, max_iter: int, train_net: Path) -> Job:
    """The job of a run.

    Args:
        run: of an experiment.
        max_iter: ``SOLVER.MAX_ITER`` of its config.
        train_net: the program that trains, which goes on where it was if interrupted.
    """
    arguments = ["--config-file", run.arm.config_file, "--resume", *run.opts]
    return Job(run, [sys.executable, str(train_net), *arguments], max_iter)


def count_slots(jobs: int | None, on_cpu: bool) -> list[Mapping[str, str]]:
    """What to add to the environment in each of the places where a run can be trained.

    Args:
        jobs: how many at a time; None is one for each GPU, or one on the CPU.
        on_cpu: whether the runs need no GPU. Else they are dealt out to the GPUs.
    """
    if on_cpu:
        jobs = jobs or 1
        threads = max(1, len(os.sched_getaffinity(0)) // jobs)
        return [{} if jobs == 1 else {"OMP_NUM_THREADS": str(threads)}] * jobs
    gpus = _visible_gpus()
    return [{"CUDA_VISIBLE_DEVICES": gpus[i % len(gpus)]} for i in range(jobs or len(gpus))]


def _visible_gpus() -> list[str]:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return visible.split(",") if visible else list(map(str, range(torch.cuda.device_count())))


def run_all(jobs: Sequence[Job], slots: Sequence[Mapping[str, str]], output: Path) -> None:
    """Train what is not finished. A run that fails leaves ``FAILURE``, and the others go on.

    Args:
        jobs: all of the experiment.
        slots: see :func:`count_slots`.
        output: folder of the experiment.

    Raises:
        UserError: another program is training into that folder.
    """
    waiting = [job for job in jobs if not job.finished]
    with locked(output) as lock, Progress(jobs) as progress, contextlib.ExitStack() as stack:
        running: dict[int, _Process] = {}
        stack.callback(lambda: _end(running.values()))
        while waiting or running:
            for slot in set(range(len(slots))) - running.keys():
                if waiting:
                    running[slot] = _Process(waiting.pop(0), slots[slot], lock)
            time.sleep(POLL_SECONDS)
            for slot, process in list(running.items()):
                if process.ended():
                    progress.tell(process.job, process.failure())
                    del running[slot]
            progress.update()


class _Process:
    """The process that trains a run."""

    def __init__(self, job: Job, environment: Mapping[str, str], lock: IO):
        self.job = job
        folder = job.run.output_dir
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FAILURE).unlink(missing_ok=True)
        with open(folder / CONSOLE, "wb") as console:
            self._process = subprocess.Popen(
                job.command,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment},
                # Should this program be killed, the processes that it leaves behind keep the lock.
                pass_fds=[lock.fileno()],
            )

    def ended(self) -> bool:
        return self._process.poll() is not None

    def failure(self) -> str | None:
        """Note the failure of a process that ended; None if it did its work."""
        if self._process.returncode == 0 and self.job.finished:
            return None
        folder = self.job.run.output_dir
        note_failure(folder, exit_code=self._process.returncode)
        return failure_text(folder)

    def ask_to_end(self) -> None:
        self._process.terminate()

    def wait(self) -> None:
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _end(processes: Sequence[_Process]) -> None:
    processes = list(processes)
    for process in processes:
        process.ask_to_end()
    for process in processes:
        process.wait()


@contextlib.contextmanager
def locked(output: Path) -> Iterator[IO]:
    """Hold the folder of an experiment, so that no second program trains into it.

    Yields:
        The lock, which is held until every process that has it open has ended.

    Raises:
        UserError: another process holds it.
    """
    output.mkdir(parents=True, exist_ok=True)
    with open(output / LOCK, "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"{output} is being trained into by another process, perhaps one that an "
                "interrupted program left behind: wait for it or end it."
            ) from None
        yield lock
