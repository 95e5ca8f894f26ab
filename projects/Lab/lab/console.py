"""What the process of a run has printed, and what is left of that when it fails."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

CONSOLE = "console.txt"  # what the process of a run has printed
FAILURE = "failure.json"  # exit code and last lines of one that ended with an error
TAIL_LINES = 15


def note_failure(
    folder: Path, *, exit_code: int | None = None, console: str = CONSOLE, remark: str = ""
) -> None:
    """Leave ``FAILURE`` in the folder of a run, unless it is there: the first cause counts.

    Args:
        folder: of the run.
        exit_code: of its process, if that is known.
        console: the file in ``folder`` that has what the process printed.
        remark: a further last line.
    """
    file = folder / console
    text = file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""
    lines = [line.rstrip() for line in text.splitlines() if line.strip()][-TAIL_LINES:]
    content = {"tail": [*lines, remark] if remark else lines}
    if exit_code is not None:
        content["exit_code"] = exit_code
    with contextlib.suppress(FileExistsError), open(folder / FAILURE, "x") as failure:
        json.dump(content, failure)


def read_failure(folder: Path) -> dict[str, Any]:
    """What :func:`note_failure` has left: ``tail``, and ``exit_code`` if that is known."""
    return json.loads((folder / FAILURE).read_text(encoding="utf-8"))


def failure_text(folder: Path) -> str:
    """The same in several lines."""
    failure = read_failure(folder)
    first = f"exit code {failure['exit_code']}" if "exit_code" in failure else "it ended"
    return "\n".join([first, *failure["tail"]])
