"""Start the processes of a program, and end it with one line where the user made a mistake."""

from __future__ import annotations

import logging
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from detectron2 import engine
from detectron2.config import CfgNode
from torch.multiprocessing import ProcessExitedException

from ..errors import ConfigError, UserError

logger = logging.getLogger(__name__)

Main = Callable[[CfgNode, Namespace], Any]


def launch(main: Main, cfg: CfgNode, args: Namespace) -> None:
    """Run ``main(cfg, args)`` in as many processes as Detectron2's flags ask for.

    Args:
        main: a function at the top level of its module.
        cfg: the config; on the CPU there is one process, whatever the flags say.
        args: of Detectron2's ``default_argument_parser``.

    Raises:
        ConfigError: there are fewer GPUs than asked for, or they cannot share a batch equally.
        SystemExit: a process ended with an error, which it has reported.
    """
    num_gpus = _usable_gpus(cfg, args.num_gpus)
    world_size = num_gpus * args.num_machines
    if world_size and cfg.SOLVER.IMS_PER_BATCH % world_size:
        raise ConfigError(
            f"SOLVER.IMS_PER_BATCH {cfg.SOLVER.IMS_PER_BATCH} cannot be divided among {world_size} "
            "processes."
        )
    try:
        engine.launch(
            _run,
            num_gpus,
            num_machines=args.num_machines,
            machine_rank=args.machine_rank,
            dist_url=args.dist_url,
            args=(main, cfg, args),
        )
    except ProcessExitedException as error:
        raise SystemExit(error.exit_code) from None


def _usable_gpus(cfg: CfgNode, wanted: int) -> int:
    """How many GPUs to use on this machine; 0 on the CPU."""
    if cfg.MODEL.DEVICE == "cpu":
        if wanted > 1:
            logger.warning("--num-gpus %d: one process runs on the CPU instead.", wanted)
        return 0
    if wanted > torch.cuda.device_count():
        raise ConfigError(f"--num-gpus {wanted}: there are only {torch.cuda.device_count()} here.")
    return wanted


def _run(main: Main, cfg: CfgNode, args: Namespace) -> None:
    with exit_on_user_error():
        main(cfg, args)


@contextmanager
def exit_on_user_error() -> Iterator[None]:
    """Turn a UserError into one line on stderr and exit code 1.

    The training loop logs the traceback of any exception; it does not for these.
    """
    training = logging.getLogger("detectron2.engine.train_loop")
    training.addFilter(_is_not_user_error)
    try:
        yield
    except UserError as error:
        print(f"error: {_message(error)}", file=sys.stderr)
        raise SystemExit(1) from None
    finally:
        training.removeFilter(_is_not_user_error)


def _is_not_user_error(record: logging.LogRecord) -> bool:
    return not (record.exc_info and isinstance(record.exc_info[1], UserError))


def _message(error: UserError) -> str:
    """Its text; PyTorch wraps one of a data loader's process in the traceback from there."""
    return str(error).strip().rpartition(f"{type(error).__name__}: ")[2]
