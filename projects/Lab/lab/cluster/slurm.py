"""Give runs to Slurm, and watch what becomes of them."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from onenet.errors import ConfigError, UserError
from onenet.files import write_text

from ..console import FAILURE, failure_text, note_failure
from ..progress import Progress
from ..runner import Job, locked
from .queue import UNKNOWN, State, count_states, read_queue

FOLDER = "cluster"  # of what submitit writes
RECORD = "cluster.json"  # folders of runs -> ids of their jobs, as long as there are any
POLL_SECONDS = 20
MAX_TIMEOUTS = 1000  # of a job; what ends one that gets nowhere is in training.py
# Python in which the signals of Slurm wait until training.py is ready for them: they would end it.
BLOCK = (
    "import os, signal, sys; "
    "signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGUSR2, signal.SIGTERM)); "
    "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
)
PYTHON = shlex.join([sys.executable, "-S", "-c", BLOCK])
# Names that submitit has for all clusters; the others are Slurm's own.
GENERIC = (
    "name", "timeout_min", "mem_gb", "nodes", "cpus_per_task", "gpus_per_node", "tasks_per_node",
    "stderr_to_stdout",
)  # fmt: skip


class Slurm:
    """Trains every run as a job of its own, all of them as an array.

    Args:
        output: folder of the experiment, which all machines must share.
        options: ``NAME=VALUE`` as in submitit, such as ``gpus_per_node=8``, ``partition=gpu``, with
            values as in YAML; ``timeout_min`` has to be there.
        num_jobs: at a time; None: as many as Slurm lets.

    Attributes:
        num_processes: of a run, on all its machines.

    Raises:
        UserError: an option cannot be used, or submitit or Slurm is not installed.
    """

    def __init__(self, output: Path, options: Sequence[str], num_jobs: int | None = None):
        self.output = output
        values = _read_options(options)
        if num_jobs:
            values["array_parallelism"] = num_jobs
        self._executor = _make_executor(output / FOLDER, values)
        self.num_processes: int = values.get("nodes", 1) * values["tasks_per_node"]

    def run_all(self, jobs: Sequence[Job]) -> None:
        """Train what is not finished, or come back to jobs that an earlier program has submitted.

        A run that fails leaves ``FAILURE``, and the others go on. The jobs outlive this program.

        Args:
            jobs: all of the experiment.

        Raises:
            UserError: Slurm refuses them, or does not answer, or another program is here.
        """
        with locked(self.output), Progress(jobs) as progress:
            unfinished = {self._name(job): job for job in jobs if not job.finished}
            ids = self._submit(unfinished)
            try:
                _watch(unfinished, ids, progress)
            except (KeyboardInterrupt, SystemExit):
                progress.say(_farewell(ids.values()))
                raise
            self._record({name: id for name, id in ids.items() if name not in unfinished})

    def _name(self, job: Job) -> str:
        return str(job.run.output_dir.relative_to(self.output))

    def _submit(self, jobs: Mapping[str, Job]) -> dict[str, str]:
        """Ids of jobs by name; those that are not in the queue are submitted now.

        Jobs of runs that the experiment no longer asks for are among them.
        """
        queue = read_queue()
        if queue is None:
            raise UserError("Slurm does not answer, see above: try again when squeue works.")
        record = _read_record(self.output)
        alive = {name: id for name, id in record.items() if not queue.get(id, UNKNOWN).ended}
        new = {name: job for name, job in jobs.items() if name not in alive}
        for job in new.values():
            job.run.output_dir.mkdir(parents=True, exist_ok=True)
            (job.run.output_dir / FAILURE).unlink(missing_ok=True)
        alive |= zip(new, self._submit_array(new.values()), strict=True)
        self._record(alive)
        return alive

    def _record(self, ids: Mapping[str, str]) -> None:
        if ids:
            write_text(self.output / RECORD, json.dumps(ids))
        else:
            (self.output / RECORD).unlink(missing_ok=True)

    def _submit_array(self, jobs: Collection[Job]) -> list[str]:
        from submitit.core.utils import FailedJobError, FailedSubmissionError

        from .training import Training

        if not jobs:
            return []
        try:
            submitted = self._executor.submit_array([Training(job) for job in jobs])
        except (FailedJobError, FailedSubmissionError) as error:
            raise UserError(f"Slurm refuses the jobs: {_last_line(error)}") from None
        return [job.job_id for job in submitted]


def _watch(jobs: Mapping[str, Job], ids: Mapping[str, str], progress: Progress) -> None:
    """Tell of every job that ends, until all have."""
    states = dict.fromkeys(jobs, State("PENDING"))
    while states:
        queue = read_queue()
        for name, before in list(states.items() if queue is not None else ()):
            job, state = jobs[name], queue.get(ids[name], UNKNOWN)
            # Where a job has just ended, its last files may still be on their way.
            if state.ended and (before.ended or job.finished):
                progress.tell(job, _failure(job, state))
                del states[name]
                continue
            if state.restarts > before.restarts:
                progress.say(f"{job.run.name}: Slurm starts it again, {state}")
            states[name] = state
        progress.update(count_states(states.values()))
        if states:
            time.sleep(POLL_SECONDS)


def check_no_jobs(output: Path) -> None:
    """Check that no jobs of a cluster train into a folder, before this machine does.

    Raises:
        UserError: there are such jobs, or there were when they were last watched.
    """
    if record := _read_record(output):
        raise UserError(
            f"{output} was given to Slurm as {_arrays(record.values())}: add --cluster slurm to "
            f"come back to that, or cancel it and remove {output / RECORD}."
        )


def _read_options(options: Sequence[str]) -> dict[str, Any]:
    values: dict[str, Any] = {"stderr_to_stdout": True}
    for option in options:
        name, equals, text = option.partition("=")
        if not (name and equals):
            raise ConfigError(
                f'--cluster-options "{option}" is not NAME=VALUE; keys of the config go before.'
            )
        try:
            values[name] = yaml.safe_load(text)
        except yaml.YAMLError:
            raise ConfigError(f'--cluster-options "{option}": no value in YAML.') from None
    if "timeout_min" not in values:
        raise ConfigError(
            "--cluster-options needs timeout_min=MINUTES, after which a job goes back into the "
            "queue, to go on later."
        )
    values.setdefault("tasks_per_node", values.get("gpus_per_node") or 1)
    # One process that fails ends the job, in which the others would wait for it. And since 22.05
    # Slurm does not hand the number of processors on to the processes.
    processors = values.get("cpus_per_task")
    share = [f"--cpus-per-task={processors}"] if processors else []
    values.setdefault("srun_args", ["--kill-on-bad-exit=1", *share])
    return values


def _make_executor(folder: Path, values: Mapping[str, Any]) -> Any:
    try:
        import submitit
    except ImportError as error:
        raise UserError(f"{error}: pip install 'submitit>=1.5'") from None
    settings = {"slurm_max_num_timeout": MAX_TIMEOUTS, "slurm_python": PYTHON}
    try:
        executor = submitit.AutoExecutor(folder, cluster="slurm", **settings)
    except RuntimeError:
        raise UserError("--cluster slurm: there is no srun here; run it where Slurm is.") from None
    try:
        executor.update_parameters(
            **{name if name in GENERIC else f"slurm_{name}": values[name] for name in values}
        )
    except (NameError, AssertionError) as error:
        raise ConfigError(f"--cluster-options: {str(error).splitlines()[0]}") from None
    return executor


def _failure(job: Job, state: State) -> str | None:
    """Note why a job has ended; None if it did its work."""
    if job.finished:
        return None
    note_failure(job.run.output_dir, remark=f"Slurm: {state}")
    return failure_text(job.run.output_dir)


def _read_record(output: Path) -> dict[str, str]:
    file = output / RECORD
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


def _arrays(ids: Iterable[str]) -> str:
    """The ids that ``scancel`` takes: those of arrays for all in them."""
    return " ".join(sorted({id.partition("_")[0] for id in ids}))


def _farewell(ids: Iterable[str]) -> str:
    return (
        "The jobs go on. The same command comes back to them, with --report-only it reports on "
        f"what is there, and scancel {_arrays(ids)} cancels them."
    )


def _last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1]
