"""Find out what is wrong with a dataset before a run begins, and say it in one line."""

from __future__ import annotations

from collections.abc import Sequence

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.utils.file_io import PathManager

from ..errors import ConfigError, UserError, nearest
from .made import datasets_root

# What to do about a missing dataset, where its metadata has no "remedy" of its own.
DEFAULT_REMEDY = (
    'set DETECTRON2_DATASETS (now "{root}") to the folder of all datasets, laid out as '
    "https://detectron2.readthedocs.io/tutorials/builtin_datasets.html"
)


def check_datasets_available(names: Sequence[str]) -> None:
    """Make the datasets that can be made and refuse names whose files are missing.

    Args:
        names: as in ``DATASETS.TRAIN`` and ``DATASETS.TEST``.

    Raises:
        ConfigError: there is no dataset of that name.
        UserError: its annotations or images are not on this machine.
    """
    for name in names:
        check_known(name)
        metadata = MetadataCatalog.get(name)
        prepare = metadata.get("prepare")
        if prepare is not None:
            prepare()
        for path in filter(None, (metadata.get("json_file"), metadata.get("image_root"))):
            if not PathManager.exists(path):
                remedy = metadata.get("remedy") or DEFAULT_REMEDY.format(root=datasets_root())
                raise UserError(
                    f'dataset "{name}" is not on this machine: "{path}" is missing; {remedy}'
                )


def check_known(name: str) -> None:
    """Refuse a name that no dataset has.

    Raises:
        ConfigError: with the nearest name.
    """
    if name not in DatasetCatalog.list():
        raise ConfigError(
            f'unknown dataset "{name}".{nearest(name, DatasetCatalog.list())}'
            " (DATASETS.REGISTER takes datasets of your own.)"
        )
