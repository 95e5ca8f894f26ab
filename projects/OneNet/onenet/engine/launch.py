"""Start the processes of a program, and end it with one line where the user made a mistake."""

from __future__ import annotations

import logging
import os
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from urllib.parse import urlparse

import torch
import torch.distributed as dist
from detectron2 import engine
from detectron2.config import CfgNode
from detectron2.utils import comm
from torch.distributed.elastic.utils.distributed import get_free_port
from torch.multiprocessing import ProcessExitedException, start_processes

from ..compat import create_local_process_group
from ..errors import ConfigError, UserError

logger = logging.getLogger(__name__)

Main = Callable[[CfgNode, Namespace], Any]

# What torchrun tells a process. Other schedulers set the first two as well, for machines.
TORCHRUN = ("WORLD_SIZE", "RANK", "LOCAL_WORLD_SIZE", "LOCAL_RANK")
PATIENCE = 10  # seconds in which a launcher ends the processes that are left when one has failed


def launch(main: Main, cfg: CfgNode, args: Namespace) -> None:
    """Run ``main(cfg, args)`` in as many processes as Detectron2's flags or torchrun ask for.

    Args:
        main: a function at the top level of its module.
        cfg: the config; the processes talk through NCCL on GPUs and gloo on the CPU.
        args: of Detectron2's ``default_argument_parser``.

    Raises:
        ConfigError: see :func:`count_processes`.
        SystemExit: a process ended with an error, which it has reported.
    """
    num_processes = count_processes(cfg, args)
    try:
        if _under_torchrun():
            _join(main, cfg, args)
        elif cfg.MODEL.DEVICE == "cpu" and num_processes > 1:
            _launch_on_cpu(main, cfg, args)
        else:
            engine.launch(
                partial(_run_unless_alone, os.getpid()),
                args.num_gpus,
                num_machines=args.num_machines,
                machine_rank=args.machine_rank,
                dist_url=args.dist_url,
                args=(main, cfg, args),
            )
    except ProcessExitedException as error:
        if error.signal_name:  # so that it could not report anything itself
            print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None


def count_processes(cfg: CfgNode, args: Namespace) -> int:
    """Number of processes on all machines that :func:`launch` would run.

    Raises:
        ConfigError: the machine cannot run its share of them, or flags contradict each other.
    """
    if not _under_torchrun():
        return _count_by_flags(cfg, args)
    if args.num_gpus > 1 or args.num_machines > 1:
        raise ConfigError(
            "torchrun has started the processes: leave out --num-gpus and --num-machines."
        )
    world_size, _, on_machine, _ = map(int, map(os.environ.get, TORCHRUN))
    _check_devices(cfg.MODEL.DEVICE, world_size, on_machine, "torchrun --nproc-per-node")
    return world_size


def _under_torchrun() -> bool:
    return all(name in os.environ for name in TORCHRUN)


def _count_by_flags(cfg: CfgNode, args: Namespace) -> int:
    if not 0 <= args.machine_rank < args.num_machines:
        raise ConfigError(
            f"--machine-rank {args.machine_rank}: with --num-machines {args.num_machines} it must "
            f"be 0 to {args.num_machines - 1}."
        )
    on_machine = max(1, args.num_gpus)
    world_size = on_machine * args.num_machines
    _check_devices(cfg.MODEL.DEVICE, world_size, on_machine, "--num-gpus")
    return world_size


def _check_devices(device: str, world_size: int, on_machine: int, flag: str) -> None:
    """Make sure that every process of this machine has a device of its own, or the CPU."""
    if device == "cpu":
        return
    if device != "cuda" and world_size > 1:
        raise ConfigError(
            f'MODEL.DEVICE "{device}" is for one process, and there are to be {world_size}: '
            'take "cuda", with a GPU for each, or "cpu".'
        )
    if device == "cuda" and on_machine > torch.cuda.device_count():
        raise ConfigError(
            f"{flag} {on_machine}: there are only {torch.cuda.device_count()} GPUs here."
        )


def _launch_on_cpu(main: Main, cfg: CfgNode, args: Namespace) -> None:
    """What Detectron2's launch does with GPUs; of its versions only main has it for the CPU."""
    on_machine = max(1, args.num_gpus)
    logger.info("Starting %d processes on the CPU.", on_machine)
    if args.num_machines == 1:
        host, port = "127.0.0.1", get_free_port()
    else:
        host, port = _address(args.dist_url)
    common = {"MASTER_ADDR": host, "MASTER_PORT": str(port)}
    arguments = (os.getpid(), on_machine, common, main, cfg, args)
    start_processes(_become_rank, nprocs=on_machine, args=arguments)


def _address(dist_url: str) -> tuple[str, int]:
    """Host and port of the first machine."""
    try:
        url = urlparse(dist_url)
        if url.scheme == "tcp" and url.hostname and url.port:
            return url.hostname, url.port
    except ValueError:  # a port that is no number, or none that exists
        pass
    raise ConfigError(f'--dist-url "{dist_url}" must be tcp://HOST:PORT of the first machine.')


def _become_rank(
    local_rank: int,
    launcher: int,
    on_machine: int,
    environment: dict[str, str],
    main: Main,
    cfg: CfgNode,
    args: Namespace,
) -> None:
    """Run as one process of several on the CPU, among which its cores are divided."""
    _exit_if_alone(launcher)
    rank = args.machine_rank * on_machine + local_rank
    values = (args.num_machines * on_machine, rank, on_machine, local_rank)
    os.environ.update(environment, **dict(zip(TORCHRUN, map(str, values), strict=True)))
    torch.set_num_threads(max(1, torch.get_num_threads() // on_machine))
    _join(main, cfg, args)


def _join(main: Main, cfg: CfgNode, args: Namespace) -> None:
    """Run ``main`` as the process that the variables of torchrun describe."""
    _, _, on_machine, local_rank = map(int, map(os.environ.get, TORCHRUN))
    on_gpus = cfg.MODEL.DEVICE == "cuda"
    if on_gpus:
        torch.cuda.set_device(local_rank)
    dist.init_process_group("nccl" if on_gpus else "gloo", timeout=engine.DEFAULT_TIMEOUT)
    create_local_process_group(on_machine)
    _run(main, cfg, args)
    # Not after an error: the others may be waiting for this one, and would wait for ever.
    dist.destroy_process_group()


def _exit_if_alone(launcher: int) -> None:
    """End a process whose launcher was killed while this one started.

    (Once it runs, PyTorch ends it with its launcher.) Otherwise it would go on training while the
    same run is resumed by another program.

    Args:
        launcher: process id of the program that the user started, which may be this one.
    """
    if launcher not in (os.getpid(), os.getppid()):
        raise SystemExit(f"error: process {launcher}, which has started this one, is gone")


def _run_unless_alone(launcher: int, main: Main, cfg: CfgNode, args: Namespace) -> None:
    _exit_if_alone(launcher)
    _run(main, cfg, args)


def _run(main: Main, cfg: CfgNode, args: Namespace) -> None:
    with exit_on_user_error():
        try:
            main(cfg, args)
        except UserError:
            raise
        except Exception:
            if comm.get_world_size() > 1:
                # It may be that another process is gone, which has told why: then the launcher
                # ends this one meanwhile.
                time.sleep(PATIENCE)
            raise


@contextmanager
def exit_on_user_error() -> Iterator[None]:
    """Turn a UserError into one line on stderr and exit code 1.

    The training loop logs the traceback of any exception; it does not for these, nor for a loss
    that is not finite, which the trainer turns into one.
    """
    training = logging.getLogger("detectron2.engine.train_loop")
    training.addFilter(_deserves_traceback)
    try:
        yield
    except UserError as error:
        print(f"error: {_message(error)}", file=sys.stderr)
        raise SystemExit(1) from None
    finally:
        training.removeFilter(_deserves_traceback)


def _deserves_traceback(record: logging.LogRecord) -> bool:
    return not (record.exc_info and isinstance(record.exc_info[1], UserError | FloatingPointError))


def _message(error: UserError) -> str:
    """Its text; PyTorch wraps one of a data loader's process in the traceback from there."""
    return str(error).strip().rpartition(f"{type(error).__name__}: ")[2]
