"""What ``metrics.json`` of a run says, whether it was interrupted or not."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from itertools import compress, pairwise
from pathlib import Path

FILE_NAME = "metrics.json"
TAIL = 1 << 16  # bytes at the end of the file, more than a line has

Record = dict[str, float]


def read_metrics(output_dir: str | os.PathLike) -> list[Record]:
    """Read the records of a run, one an iteration that was logged, in order.

    A run that was resumed has logged some iterations twice: what it said last counts. A line that
    a killed run left unfinished is skipped. Without a file there are no records.
    """
    records: dict[int, Record] = {}
    path = Path(output_dir, FILE_NAME)
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    for line in text.split("\n"):
        try:
            record = json.loads(line)
            records.setdefault(record["iteration"], {}).update(record)
        except (ValueError, KeyError, TypeError):
            continue
    return [records[iteration] for iteration in sorted(records)]


def last_iteration(output_dir: str | os.PathLike) -> int:
    """The iteration of the last complete record, -1 without one.

    It reads only the end of the file, so that it costs the same however long a run is.
    """
    path = os.path.join(output_dir, FILE_NAME)
    if not os.path.exists(path):
        return -1
    with open(path, "rb") as file:
        file.seek(max(0, os.path.getsize(path) - TAIL))
        lines = file.read().splitlines()
    for line in reversed(lines):
        try:
            return json.loads(line)["iteration"]
        except (ValueError, KeyError, TypeError):
            continue
    return -1


def drop_from(output_dir: str | os.PathLike, iteration: int, *, keep_end: bool = True) -> None:
    """Remove what a run has logged of an iteration and those after it, which will be run again.

    A last line that a killed run left unfinished goes too. A program that is killed meanwhile
    loses no other line.

    Args:
        output_dir: folder of the run.
        iteration: the first one that will be run again.
        keep_end: whether the result of a run that ended right before ``iteration`` stays.
    """
    path = os.path.join(output_dir, FILE_NAME)
    if not os.path.exists(path):
        return
    with open(path, "rb+") as file:  # not a new file: a writer may have opened this one
        lines = file.readlines()
        stay = [_is_of_before(line, iteration, keep_end) for line in lines]
        unchanged = stay.index(False) if False in stay else len(lines)
        file.seek(sum(map(len, lines[:unchanged])))
        file.write(b"".join(compress(lines[unchanged:], stay[unchanged:])))
        file.truncate()


def _is_of_before(line: bytes, iteration: int, keep_end: bool) -> bool:
    try:
        record = json.loads(line)
        at_end = keep_end and record["iteration"] == iteration and "total_loss" not in record
        return line.endswith(b"\n") and (record["iteration"] < iteration or at_end)
    except (ValueError, KeyError, TypeError):
        return False


def was_evaluated(output_dir: str | os.PathLike, iteration: int) -> bool:
    """Whether a run has logged the result of an evaluation after this iteration."""
    return any(
        record["iteration"] == iteration and any(name.endswith("bbox/AP") for name in record)
        for record in read_metrics(output_dir)
    )


def final_results(records: Sequence[Mapping[str, float]], max_iter: int) -> Mapping[str, float]:
    """The record of the evaluation at the end of training; empty if it did not get that far.

    Args:
        records: of :func:`read_metrics`.
        max_iter: ``SOLVER.MAX_ITER``.
    """
    # Evaluations in between are logged under the iteration they follow, the last one under the
    # iteration after the last.
    at_end = [r for r in records if "bbox/AP" in r and r["iteration"] >= max_iter - 1]
    return at_end[-1] if at_end else {}


def trained_iterations(records: Sequence[Mapping[str, float]]) -> int:
    """How many iterations of training are in the log."""
    return max((record["iteration"] + 1 for record in records if "time" in record), default=0)


def training_seconds(records: Sequence[Mapping[str, float]]) -> float:
    """Time that went into training steps, without evaluations and pauses, in seconds.

    The log has the mean step time of every so many iterations or, from another trainer, only the
    median, which then stands for all of them.
    """
    timed = [record for record in records if "time" in record]
    logged = [-1, *(record["iteration"] for record in timed)]
    return sum(
        record.get("mean_time", record["time"]) * (iteration - before)
        for record, (before, iteration) in zip(timed, pairwise(logged), strict=True)
    )
