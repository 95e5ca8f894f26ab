"""What becomes of an earlier run in the output folder of a new one."""

from __future__ import annotations

import os
import shutil
from itertools import count
from pathlib import Path

from detectron2.config import CfgNode

from .config.saved import FILE_NAME as CONFIG
from .config.saved import changed_values
from .metrics_file import FILE_NAME as METRICS

TAG = "last_checkpoint"
RECORDS = (CONFIG, METRICS, TAG)  # what would be mixed with, or taken for, that of the new run


def meet_earlier_run(cfg: CfgNode, *, resume: bool) -> list[str]:
    """Go on with the run in ``OUTPUT_DIR``, or put its records aside; call it in one process.

    Args:
        cfg: of the run that begins.
        resume: whether it was asked to go on.

    Returns:
        What to warn of: each key that goes on with another value than before, or that a run was
        there and is not gone on with.
    """
    folder = Path(cfg.OUTPUT_DIR)
    if resume:
        return _changes(cfg) if (folder / TAG).exists() else []
    if not any((folder / name).exists() for name in (METRICS, TAG)):
        return []
    ending = _put_aside(folder)
    return [
        f'OUTPUT_DIR "{folder}" holds an earlier run. Without --resume, this one begins anew and '
        f'replaces its checkpoints; {", ".join(RECORDS)} of it are kept with "{ending}" at the end '
        "of their names. To keep it whole, stop and name another OUTPUT_DIR; to go on with it, "
        "stop, give the files their names back and add --resume."
    ]


def _changes(cfg: CfgNode) -> list[str]:
    return [
        f"--resume goes on with another {key} than before: {wanted!r} instead of {there!r}."
        for key, (there, wanted) in changed_values(cfg, cfg.OUTPUT_DIR).items()
        if key != "MODEL.WEIGHTS"  # where the run began
    ]


def _put_aside(folder: Path) -> str:
    """Give the records the first ending that is free for all of them."""
    endings = (f".{number}" for number in count(1))
    ending = next(e for e in endings if not any((folder / f"{r}{e}").exists() for r in RECORDS))
    for record in RECORDS:
        if (folder / record).exists():
            # The new run may have been given the config of the old one, and reads it again.
            keep = shutil.copy2 if record == CONFIG else os.replace
            keep(folder / record, folder / f"{record}{ending}")
    return ending
