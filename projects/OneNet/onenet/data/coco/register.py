"""Datasets of the user's own in COCO's format, registered by the config: DATASETS.REGISTER."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from detectron2.data import DatasetCatalog, MetadataCatalog

from ...errors import ConfigError, UserError
from ...paths import expand_home
from .file import inspect_coco_file
from .records import load_coco_boxes, tell_classes

KEY = "DATASETS.REGISTER"


class Entry(NamedTuple):
    """One dataset: its name, its annotations, and the folder that their file names start in."""

    name: str
    json_file: str
    image_root: str


def register_datasets(value: Sequence) -> None:
    """Put the datasets of ``DATASETS.REGISTER`` into the catalogs; reads no file.

    May be called again, also with other files: what the key registered before is replaced.

    Args:
        value: ``[[name, json file, image folder], ...]``, or one such triple. Relative paths
            start at the working directory.

    Raises:
        ConfigError: it is something else, or a name is taken.
    """
    entries = _parse(value)
    for entry in entries:
        if entry.name in DatasetCatalog.list():
            if MetadataCatalog.get(entry.name).get("registered_by") != KEY:
                raise ConfigError(f'{KEY}: the name "{entry.name}" is taken, choose another.')
            DatasetCatalog.remove(entry.name)
        MetadataCatalog.pop(entry.name, None)
        DatasetCatalog.register(
            entry.name, partial(load_coco_boxes, entry.json_file, entry.image_root, entry.name)
        )
        MetadataCatalog.get(entry.name).set(
            json_file=entry.json_file,
            image_root=entry.image_root,
            evaluator_type="coco",
            prepare=partial(_prepare, entry),
            registered_by=KEY,
        )


def _parse(value: Sequence) -> list[Entry]:
    if len(value) == 3 and all(isinstance(part, str) for part in value):
        value = [value]
    entries = []
    for triple in value:
        fits = isinstance(triple, (list, tuple)) and len(triple) == 3
        if not fits or not all(isinstance(part, str) and part for part in triple):
            raise ConfigError(f"{KEY} must be [[name, json file, image folder], ...]: {triple!r}.")
        name, *paths = triple
        if name in [entry.name for entry in entries]:
            raise ConfigError(f'{KEY} names "{name}" twice.')
        entries.append(Entry(name, *(expand_home(path, KEY) for path in paths)))
    return entries


def _prepare(entry: Entry) -> None:
    """Check the files of a dataset, and tell its classes before it is loaded."""
    place = f'dataset "{entry.name}" of {KEY}'
    try:
        content = inspect_coco_file(entry.json_file)
    except OSError as error:
        raise UserError(
            f'{place}: cannot read "{entry.json_file}" ({error.strerror}); {_working_directory()}'
        ) from None
    except ValueError as error:
        raise UserError(f'{place}: "{entry.json_file}" {error}') from None
    if not os.path.isdir(entry.image_root):
        raise UserError(
            f'{place}: there is no image folder "{entry.image_root}"; {_working_directory()}'
        )
    if not Path(entry.image_root, content.first_image).exists():
        raise UserError(
            f'{place}: there is no image "{content.first_image}" in "{entry.image_root}", where '
            "the file names of the annotations must start"
        )
    tell_classes(entry.name, content.classes)


def _working_directory() -> str:
    return f'relative paths start at the working directory, "{os.getcwd()}"'
