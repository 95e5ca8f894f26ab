"""One bar over all runs of an experiment, counted in training iterations."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from onenet.engine.metrics_file import final_results, last_iteration, read_metrics
from tqdm import tqdm

if TYPE_CHECKING:
    from .runner import Job

LOG_INTERVAL = 60  # seconds between two lines of the bar where it goes to a file


class Progress:
    """Shows how many iterations are done and, from the rate so far, how long the rest will take.

    Args:
        jobs: of the experiment, with those that are finished already.
    """

    def __init__(self, jobs: Sequence[Job]):
        self._jobs = jobs
        self._ended = {job.run.output_dir for job in jobs if job.finished}
        self._bar = tqdm(
            total=sum(job.max_iter for job in jobs),
            initial=self._iterations(),
            unit="it",
            smoothing=0,  # the ETA from the mean rate: arms differ in speed
            dynamic_ncols=True,
            mininterval=1 if sys.stderr.isatty() else LOG_INTERVAL,
        )
        self._describe()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.close()

    def update(self, where: str = "") -> None:
        """Look how far the runs are; ``where`` they are is shown behind the bar."""
        self._bar.set_postfix_str(where, refresh=False)
        progress = self._iterations() - self._bar.n
        if progress > 0:
            self._bar.update(progress)

    def tell(self, job: Job, failure: str | None) -> None:
        """Tell that a run ended.

        Args:
            job: its job.
            failure: what went wrong, if anything did.
        """
        self._ended.add(job.run.output_dir)
        if failure is None:
            results = final_results(read_metrics(job.run.output_dir), job.max_iter)
            outcome = "AP {bbox/AP:.1f}, with NMS {bbox_nms/AP:.1f}".format(**results)
        else:
            outcome = f"FAILED, {failure}"
        self.say(f"[{len(self._ended)}/{len(self._jobs)}] {job.run.name}: {outcome}")
        self._describe()

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        self._bar.write(text)

    def _describe(self) -> None:
        self._bar.set_description(f"{len(self._ended)}/{len(self._jobs)} runs")

    def _iterations(self) -> int:
        return sum(self._reached(job) for job in self._jobs)

    def _reached(self, job: Job) -> int:
        if job.run.output_dir in self._ended:
            return job.max_iter  # of a failed one there will be no more
        return min(job.max_iter, last_iteration(job.run.output_dir) + 1)
