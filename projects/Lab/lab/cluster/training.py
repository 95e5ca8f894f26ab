"""What each process of a job does: it trains a run, alone or as one rank of several."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import torch
from onenet.engine.earlier_run import TAG
from onenet.files import write_text
from submitit import JobEnvironment
from submitit.helpers import DelayedSubmission, TorchDistributedEnvironment

from ..collect import MACHINE, describe_machine
from ..console import CONSOLE, FAILURE, note_failure
from ..runner import Job

MAX_FRUITLESS = 5  # times in a row that a job is interrupted without having saved a checkpoint
# Those by which Slurm tells of an end that is to come. submitit answers them; the training goes on.
WARNINGS = (signal.SIGUSR2, signal.SIGTERM)


class Training:
    """Trains a run in each process that Slurm has started for it.

    It is pickled by submitit, which calls it there and, when Slurm is about to end the job, calls
    :meth:`checkpoint` in the first process and asks Slurm to start the job again.

    Args:
        job: the run.
    """

    def __init__(self, job: Job):
        self.job = job
        self._saved = ""
        self._fruitless = 0

    def __call__(self) -> None:
        """Train, and end the process with exit code 1 if that fails."""
        rank = JobEnvironment().global_rank
        folder = self.job.run.output_dir
        console = f"{CONSOLE}.rank{rank}" if rank else CONSOLE
        if rank == 0:
            (folder / FAILURE).unlink(missing_ok=True)
        else:
            signal.signal(signal.SIGUSR2, _await_end)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, WARNINGS)  # blocked by slurm.py
        exit_code = self._train(folder / console)
        if exit_code == 0 and rank:
            return
        if exit_code == 0 and self.job.finished:
            # Not before: to ask a GPU for its name takes some of its memory.
            device = "cuda" if torch.cuda.is_available() else "cpu"
            write_text(folder / MACHINE, describe_machine(device))
            return
        if exit_code != -signal.SIGKILL:  # which Slurm sends when it has given its reasons
            note_failure(folder, exit_code=exit_code, console=console)
        raise SystemExit(1)

    def _train(self, console: Path) -> int:
        """Run ``train_net.py`` with the variables of torchrun, and end it where this is to end."""
        if JobEnvironment().num_tasks > 1:
            TorchDistributedEnvironment().export(set_cuda_visible_devices=False, overwrite=True)
        with open(console, "ab") as file:
            done = subprocess.run(
                self.job.command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                preexec_fn=_ignore_warnings,
            )
        return done.returncode

    def checkpoint(self) -> DelayedSubmission | None:
        """What to start again; None where that would go on for ever."""
        tag = self.job.run.output_dir / TAG
        saved = tag.read_text() if tag.exists() else ""
        self._fruitless = self._fruitless + 1 if saved == self._saved else 0
        self._saved = saved
        if self._fruitless < MAX_FRUITLESS:
            return DelayedSubmission(self)
        remark = (
            f"It was interrupted {MAX_FRUITLESS} times in a row before it saved a checkpoint: "
            "lower SOLVER.CHECKPOINT_PERIOD, or raise timeout_min."
        )
        note_failure(self.job.run.output_dir, remark=remark)
        return None


def _ignore_warnings() -> None:
    for number in WARNINGS:
        signal.signal(number, signal.SIG_IGN)


def _await_end(*_: object) -> None:
    """Leave it to the first process to start the job again.

    The training of this one fails when that of the first one ends, which is no failure of the run.
    """
    while True:
        time.sleep(1)
