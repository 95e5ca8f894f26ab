"""What Slurm says of its jobs."""

from __future__ import annotations

import logging
import subprocess
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

logger = logging.getLogger(__name__)

COMMAND = [
    "squeue", "--me", "--array", "--noheader", "--states=all",
    "--Format=JobArrayID:40,State:20,RestartCnt:10,Reason:200",
]  # fmt: skip
# A job in one of these will not run again; in all others it runs, or waits for that.
ENDED = {
    "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY",
    "PREEMPTED", "TIMEOUT", "UNKNOWN",
}  # fmt: skip


@dataclass(frozen=True)
class State:
    """Of a job.

    Attributes:
        name: Slurm's, such as ``RUNNING``.
        restarts: how often Slurm has started it again.
        reason: why it waits or has ended, in Slurm's words; "None" for none.
    """

    name: str
    restarts: int = 0
    reason: str = "None"

    @property
    def ended(self) -> bool:
        return self.name in ENDED

    def __str__(self) -> str:
        return self.name if self.reason == "None" else f"{self.name} ({self.reason})"


UNKNOWN = State("UNKNOWN", reason="it has left the queue")


def read_queue() -> dict[str, State] | None:
    """States of the jobs of this user, by id; None if Slurm does not answer.

    Slurm forgets a job some minutes after its end.
    """
    try:
        done = subprocess.run(COMMAND, check=True, capture_output=True, text=True)
    except subprocess.CalledProcessError as error:
        logger.warning("squeue failed: %s", error.stderr.strip())
        return None
    fields = (line.split(maxsplit=3) for line in done.stdout.splitlines())
    return {id: State(name, int(restarts), reason.strip()) for id, name, restarts, reason in fields}


def count_states(states: Iterable[State]) -> str:
    """``40 PENDING (Resources), 8 RUNNING``."""
    return ", ".join(f"{number} {state}" for state, number in Counter(map(str, states)).items())
