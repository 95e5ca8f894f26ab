"""What must hold before a run leaves its first trace on the disk."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from detectron2.config import CfgNode
from detectron2.modeling import META_ARCH_REGISTRY
from detectron2.solver import build_lr_scheduler
from torch import nn

from ..checkpoint.checkpointer import CLASS_NAMES, Checkpointer
from ..checkpoint.weights import check_named_detector, locate_weights, same_file
from ..data import (
    check_class_order,
    check_datasets_available,
    check_labels,
    check_num_classes,
    check_pictures,
    check_same_classes,
    class_names,
    read_records,
    told_names,
)
from ..data.loader import check_loader, select_train_dicts
from ..errors import ConfigError, UserError, nearest
from ..evaluation import tile_grid
from .hooks.assignment_probe import check_probe
from .optimizer import build_optimizer

LR_SCHEDULERS = ("WarmupMultiStepLR", "WarmupCosineLR")  # those that every Detectron2 has


def check_run(
    cfg: CfgNode,
    *,
    num_processes: int = 1,
    eval_only: bool = False,
    resume: bool = False,
    allow_partial: bool = False,
    unsafe_load: str | None = None,
) -> None:
    """Check the datasets, the model and the weights of a run that is about to begin.

    Args:
        cfg: the config.
        num_processes: on all machines.
        eval_only: whether there will be no training.
        resume: whether to go on from the last checkpoint in ``OUTPUT_DIR``, if there is one.
        allow_partial: whether weights of another model will do.
        unsafe_load: the file of weights that may hold any objects, and so run code.

    Raises:
        UserError: with what does not fit, and the remedy.
    """
    needed = "TEST" if eval_only else "TRAIN"
    if not cfg.DATASETS[needed]:
        raise ConfigError(f"DATASETS.{needed} names no dataset.")
    if not eval_only:
        check_batch(cfg, num_processes)
        check_loader(cfg)
        check_probe(cfg)
    tile_grid(cfg)
    names = [*(() if eval_only else cfg.DATASETS.TRAIN), *cfg.DATASETS.TEST]
    check_datasets_available(names)
    check_num_classes(names, cfg.MODEL.OneNet.NUM_CLASSES)
    check_same_classes(names)
    check_data(cfg, eval_only=eval_only)
    if not eval_only:
        check_schedule(cfg)
    check_weights(
        cfg,
        class_names=told_names(names, cfg.MODEL.OneNet.NUM_CLASSES),
        resume=resume,
        allow_partial=allow_partial,
        unsafe_load=unsafe_load,
        need_detector=eval_only,
    )


def check_data(cfg: CfgNode, *, eval_only: bool = False) -> None:
    """Read the datasets of a run and look for their images; repairs are reported by the loaders.

    Args:
        cfg: the config.
        eval_only: whether those of ``DATASETS.TRAIN`` are not needed.

    Raises:
        UserError: a dataset cannot be trained on or evaluated on, or has images that are missing.
    """
    train, test = () if eval_only else cfg.DATASETS.TRAIN, cfg.DATASETS.TEST
    datasets = {name: read_records(name)[0] for name in {*train, *test}}
    for name in test:
        if class_names(name) is None:
            raise UserError(
                f'dataset "{name}" of DATASETS.TEST does not tell its classes, by which AP '
                f'is computed: set MetadataCatalog.get("{name}").thing_classes'
            )
        check_labels(datasets[name], name, cfg.MODEL.OneNet.NUM_CLASSES)
        check_pictures(datasets[name], name)
    if train:
        with _silence():
            records = select_train_dicts(cfg, {name: datasets[name] for name in train})
        check_pictures(records, ", ".join(train))


def check_batch(cfg: CfgNode, num_processes: int) -> None:
    """Check that the batch of a step can be dealt out evenly.

    Args:
        cfg: the config.
        num_processes: on all machines.

    Raises:
        ConfigError: it cannot, to processes or into the parts of ``SOLVER.ACCUMULATE``, or the
            parts cannot be put together again.
    """
    solver = cfg.SOLVER
    # Where a reference is given, Detectron2 scales the batch from that to the actual number.
    divisor = solver.REFERENCE_WORLD_SIZE or num_processes
    if solver.IMS_PER_BATCH < 1 or solver.IMS_PER_BATCH % divisor:
        raise ConfigError(
            f"SOLVER.IMS_PER_BATCH {solver.IMS_PER_BATCH} cannot be divided among {divisor} "
            "processes."
        )
    images, parts = solver.IMS_PER_BATCH // divisor, solver.ACCUMULATE
    if parts < 1 or images % parts:
        raise ConfigError(
            f"SOLVER.ACCUMULATE {parts} cannot divide the {images} images of a process in a step "
            f"(SOLVER.IMS_PER_BATCH {solver.IMS_PER_BATCH}, processes: {divisor})."
        )
    architecture = cfg.MODEL.META_ARCHITECTURE
    if parts > 1 and architecture != "OneNet":
        raise ConfigError(
            f"SOLVER.ACCUMULATE {parts} is for MODEL.META_ARCHITECTURE OneNet, whose losses can be "
            f'added up; "{architecture}" takes 1.'
        )
    if solver.COMPILE and architecture != "OneNet":
        raise ConfigError(
            "SOLVER.COMPILE True is for MODEL.META_ARCHITECTURE OneNet, whose losses are apart of "
            f'the network; "{architecture}" takes False.'
        )


def check_schedule(cfg: CfgNode) -> None:
    """Check the keys of the optimizer and of the learning rate by building both for nothing.

    Raises:
        ConfigError: there is no such schedule, or its numbers contradict each other.
    """
    with _silence():
        optimizer = build_optimizer(cfg, nn.Linear(1, 1))
        try:
            build_lr_scheduler(cfg, optimizer)
        except ValueError as error:
            name = cfg.SOLVER.LR_SCHEDULER_NAME
            hint = "" if name in LR_SCHEDULERS else nearest(name, LR_SCHEDULERS)
            raise ConfigError(f'SOLVER.LR_SCHEDULER_NAME "{name}": {error}.{hint}') from None


def check_weights(
    cfg: CfgNode,
    *,
    resume: bool = False,
    allow_partial: bool = False,
    unsafe_load: str | None = None,
    need_detector: bool = False,
    class_names: Sequence[str] | None = None,
) -> None:
    """Check that the weights can be had and fit, without building the model.

    Args:
        cfg, resume, allow_partial, unsafe_load: as in :func:`check_run`.
        need_detector: whether to refuse weights of only a backbone, and none at all.
        class_names: of the datasets; a detector that is needed, or a run that goes on, must not
            know them in another order.

    Raises:
        UserError: they cannot, or do not.
    """
    with _silence():
        model = _weightless_model(cfg)
        checkpointer = Checkpointer(
            model,
            cfg.OUTPUT_DIR,
            allow_partial=allow_partial,
            unsafe_load=unsafe_load,
            need_detector=need_detector,
        )
        resumed = resume and checkpointer.has_checkpoint()
        path = _tagged_checkpoint(checkpointer) if resumed else cfg.MODEL.WEIGHTS
        if unsafe_load and not same_file(path, unsafe_load):
            raise UserError(f'--unsafe-load "{unsafe_load}" is not the file to load: "{path}" is.')
        if model is None:
            if need_detector:
                check_named_detector(path)
            locate_weights(path)
        else:
            trained = checkpointer.load(path, checkpointables=[]).get(CLASS_NAMES)
            if trained and class_names and (need_detector or resumed):
                check_class_order(path, trained, class_names)


def _tagged_checkpoint(checkpointer: Checkpointer) -> str:
    """The checkpoint from which a run goes on.

    Raises:
        UserError: the file has gone since.
    """
    path = checkpointer.get_checkpoint_file()
    if not os.path.isfile(path):
        tag = os.path.join(checkpointer.save_dir, "last_checkpoint")
        raise UserError(
            f'"{tag}" names a checkpoint that is not there, "{path}"; write the name of another '
            "one of this folder into it, or start anew without --resume"
        )
    return path


def _weightless_model(cfg: CfgNode) -> nn.Module | None:
    """The model without values (device "meta"); None if a part of it cannot be built like that."""
    try:
        with torch.device("meta"):
            return META_ARCH_REGISTRY.get(cfg.MODEL.META_ARCHITECTURE)(cfg)
    except UserError:
        raise
    except Exception:  # whatever it is, building the actual model raises it again
        return None


@contextmanager
def _silence() -> Iterator[None]:
    """Suppress logs and warnings, which the actual building and loading will repeat."""
    previous = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(previous)
