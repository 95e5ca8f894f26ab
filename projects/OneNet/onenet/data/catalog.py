"""Detectron2's catalogs of datasets."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from detectron2.data import DatasetCatalog, MetadataCatalog

logger = logging.getLogger(__name__)


def register_unless_taken(name: str, load: Callable[[], list[dict]], **metadata: Any) -> None:
    """Register a dataset of this package; one of that name that is there already stays."""
    if name in DatasetCatalog.list():
        logger.warning('Dataset "%s" was registered before onenet was imported: it stays.', name)
        return
    DatasetCatalog.register(name, load)
    MetadataCatalog.get(name).set(**metadata)
