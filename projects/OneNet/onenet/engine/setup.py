"""From a command line to a config that can be run, and the start of a run."""

from __future__ import annotations

import logging
from argparse import Namespace
from collections.abc import Callable, Sequence

from detectron2.config import CfgNode, get_cfg
from detectron2.engine import default_setup
from detectron2.modeling import BACKBONE_REGISTRY, META_ARCH_REGISTRY
from detectron2.utils import comm
from detectron2.utils.logger import setup_logger

from ..config import add_onenet_config
from ..criterion import build_criteria
from ..data import count_classes, register_datasets
from ..errors import UserError, choose
from ..modeling.heads import HEADS
from ..modeling.neck import NECKS
from ..paths import expand_home
from .config.files import merge_file, merge_list
from .config.stock_keys import check_stock_keys, unread_keys
from .device import choose_device
from .earlier_run import meet_earlier_run
from .optimizer import check_optimizer

logger = logging.getLogger(__name__)


def setup_cfg(
    config_file: str = "",
    opts: Sequence[str] = (),
    add_configs: Sequence[Callable[[CfgNode], None]] = (),
) -> CfgNode:
    """Read a config for any program of this project.

    Args:
        config_file: a YAML file; empty for the defaults.
        opts: ``[KEY, VALUE, KEY, VALUE, ...]`` that override it.
        add_configs: functions that add keys of further packages.

    Returns:
        The config, frozen. Where it asks for a GPU and there is none, it runs on the CPU. Paths
        have no "~", the datasets of ``DATASETS.REGISTER`` are in the catalogs, and ``NUM_CLASSES``
        0 has become the number that they have.

    Raises:
        ConfigError: a file, key, value or name in it is wrong, or the device is not there.
        UserError: the classes cannot be counted.
    """
    cfg = get_cfg()
    for add_config in (add_onenet_config, *add_configs):
        add_config(cfg)
    if config_file:
        merge_file(cfg, expand_home(config_file, "--config-file"))
    merge_list(cfg, list(opts))
    _expand_paths(cfg)
    register_datasets(cfg.DATASETS.REGISTER)
    if cfg.MODEL.OneNet.NUM_CLASSES == 0:
        names = [*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST]
        cfg.MODEL.OneNet.NUM_CLASSES = count_classes(names)
    check_names(cfg)
    choose_device(cfg)
    cfg.freeze()
    return cfg


def check_names(cfg: CfgNode) -> None:
    """Look up every name in ``cfg`` that selects a part, before any part is built.

    Raises:
        ConfigError: there is none of that name, or something is switched on that is not here.
    """
    check_stock_keys(cfg)
    choose("MODEL.META_ARCHITECTURE", cfg.MODEL.META_ARCHITECTURE, dict(META_ARCH_REGISTRY))
    choose("MODEL.BACKBONE.NAME", cfg.MODEL.BACKBONE.NAME, dict(BACKBONE_REGISTRY))
    if cfg.MODEL.META_ARCHITECTURE == "OneNet":
        choose("MODEL.OneNet.HEAD", cfg.MODEL.OneNet.HEAD, HEADS)
        choose("MODEL.OneNet.NECK", cfg.MODEL.OneNet.NECK, NECKS)
        build_criteria(cfg, ())  # costs nothing, and checks its own keys
    check_optimizer(cfg.SOLVER)


def _expand_paths(cfg: CfgNode) -> None:
    cfg.OUTPUT_DIR = expand_home(cfg.OUTPUT_DIR, "OUTPUT_DIR")
    cfg.MODEL.WEIGHTS = expand_home(cfg.MODEL.WEIGHTS, "MODEL.WEIGHTS")
    cfg.MODEL.TIMM.WEIGHTS = expand_home(cfg.MODEL.TIMM.WEIGHTS, "MODEL.TIMM.WEIGHTS")


def setup_run(cfg: CfgNode, args: Namespace, packages: Sequence[str] = ()) -> None:
    """Begin a run: output folder, log files, a copy of the config, and the random seed.

    Args:
        cfg: the config.
        args: the command line, to be logged; ``resume`` and ``eval_only`` of it are read.
        packages: further packages whose messages belong in the log.

    Raises:
        UserError: the output folder cannot be made or written to.
    """
    register_datasets(cfg.DATASETS.REGISTER)  # again, where this is a process of its own
    warnings = unread_keys(cfg)
    try:
        if comm.is_main_process() and not getattr(args, "eval_only", False):
            warnings += meet_earlier_run(cfg, resume=getattr(args, "resume", False))
        default_setup(cfg, args)
    except OSError as error:
        raise UserError(
            f'OUTPUT_DIR "{cfg.OUTPUT_DIR}" cannot be used ({error.strerror}); name another folder '
            "as OUTPUT_DIR"
        ) from error
    for package in ("onenet", *packages):
        setup_logger(cfg.OUTPUT_DIR, distributed_rank=comm.get_rank(), name=package)
    for warning in warnings:
        logger.warning(warning)
