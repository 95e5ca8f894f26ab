"""What must hold before the first run of an experiment begins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from detectron2.config import CfgNode
from onenet.engine.checks import check_run
from onenet.engine.config.saved import config_differences
from onenet.errors import ConfigError, UserError

from .experiment import RESERVED, Run

ReadConfig = Callable[[str, Sequence[str]], CfgNode]

MAX_LISTED = 5  # keys that differ


def read_configs(runs: Sequence[Run], read_config: ReadConfig) -> list[CfgNode]:
    """Read the config of every run.

    Args:
        runs: of :func:`~lab.experiment.plan`.
        read_config: from a config file and ``[KEY, VALUE, ...]`` to a config.

    Raises:
        UserError: a config cannot be read, or not be compared; it names the arm.
    """
    configs = []
    for run in runs:
        try:
            cfg = read_config(run.arm.config_file, run.opts)
            _check_measurable(cfg)
        except UserError as error:
            raise ConfigError(f'arm "{run.arm.label}": {error}') from None
        configs.append(cfg)
    return configs


def _check_measurable(cfg: CfgNode) -> None:
    """Check that a run will have what the report shows."""
    if cfg.MODEL.META_ARCHITECTURE != "OneNet":
        raise ConfigError(
            f'MODEL.META_ARCHITECTURE "{cfg.MODEL.META_ARCHITECTURE}" has no assigner to compare; '
            'set it to "OneNet".'
        )
    if cfg.MODEL.OneNet.NMS:
        raise ConfigError(
            "MODEL.OneNet.NMS is True, so that nothing would be without NMS; leave it False: the "
            "report has every arm without NMS and with it."
        )
    if len(cfg.DATASETS.TEST) != 1:
        raise ConfigError(
            f"DATASETS.TEST must name the one dataset to compare on, got {list(cfg.DATASETS.TEST)}."
        )


def check_comparable(runs: Sequence[Run], configs: Sequence[CfgNode]) -> None:
    """Check that no two arms are the same, and that all are evaluated on the same dataset.

    Raises:
        ConfigError: they are not.
    """
    seen: dict[str, str] = {}
    first = configs[0].DATASETS.TEST
    for run, cfg in zip(runs, configs, strict=True):
        if first != cfg.DATASETS.TEST:
            raise ConfigError(
                f'arm "{run.arm.label}" is evaluated on {cfg.DATASETS.TEST[0]}, the first arm on '
                f"{first[0]}: give all arms the same DATASETS.TEST."
            )
        cfg = cfg.clone()
        cfg.defrost()
        for key in RESERVED:
            cfg[key] = ""
        label = seen.setdefault(cfg.dump(), run.arm.label)
        if label != run.arm.label:
            raise ConfigError(
                f'arms "{label}" and "{run.arm.label}" are the same config: leave one of them out.'
            )


def check_folders(runs: Sequence[Run], configs: Sequence[CfgNode]) -> None:
    """Check that folders of runs are free, or hold what is asked for; others are never reused.

    Raises:
        UserError: with the keys that differ.
    """
    for run, cfg in zip(runs, configs, strict=True):
        differences = config_differences(cfg, run.output_dir)
        if differences:
            more = len(differences) - MAX_LISTED
            listed = "; ".join(differences[:MAX_LISTED]) + (
                f"; and {more} more" if more > 0 else ""
            )
            raise UserError(
                f"{run.output_dir} holds a run with another config ({listed}): choose another "
                f"--output, or remove that folder to train it anew."
            )


def check_trainable(
    runs: Sequence[Run], configs: Sequence[CfgNode], *, num_processes: int = 1
) -> None:
    """Check datasets and weights, once for each arm.

    Args:
        runs, configs: those that are to be trained.
        num_processes: of each run.

    Raises:
        UserError: with the arm, what does not fit, and the remedy.
    """
    checked: set[Path] = set()
    for run, cfg in zip(runs, configs, strict=True):
        arm_folder = run.output_dir.parent
        if arm_folder in checked:
            continue
        checked.add(arm_folder)
        try:
            check_run(cfg, num_processes=num_processes)
        except UserError as error:
            raise UserError(f'arm "{run.arm.label}": {error}') from None
