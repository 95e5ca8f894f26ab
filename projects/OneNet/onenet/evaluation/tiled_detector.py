"""Evaluate a detector on pictures of any size, tile by tile."""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.data.detection_utils import SizeMismatchError, check_image_size
from detectron2.structures import Boxes, Instances
from detectron2.utils.file_io import PathManager
from torch import nn
from tqdm import tqdm

from ..data import load_records
from ..errors import ConfigError, UserError, choose
from ..image_stream import open_large_image
from ..predict.base import prepare
from ..predict.checkpoint import make_card
from ..predict.model_card import CHANNEL_ORDERS, ModelCard
from ..predict.tiled_predictor import tile_batches
from ..tiles import Tile, TileGrid
from .nms_evaluator import class_wise_nms

MERGES = ("center", "nms")
BATCH_SIZE = 8  # tiles


class TiledDetector(nn.Module):
    """A detector that sees images in overlapping tiles, each of them as an image of its own.

    Args:
        model: takes and returns what :class:`~onenet.OneNet` does in inference.
        grid: of the tiles, in pixels of the image.
        card: how the model wants its images.
        merge: "center" as :class:`~onenet.predict.TiledPredictor` does; or "nms", class-wise among
            what was found in all tiles, for comparison.
    """

    def __init__(self, model: nn.Module, grid: TileGrid, card: ModelCard, merge: str = "center"):
        super().__init__()
        self.model = model
        self.grid = grid
        self.card = card
        self.merge = merge
        self.training = model.training  # Detectron2's evaluation puts back what it finds here

    def forward(self, batched_inputs: list[dict[str, Any]]) -> list[dict[str, Instances]]:
        """Detect objects in images.

        Args:
            batched_inputs: for each image ``file_name``, and ``height`` and ``width`` if known.

        Returns:
            What the model does, in pixels of the image, on the CPU. Of each tile there are as many
            ``instances`` as the model has for an image.

        Raises:
            UserError: an image cannot be used, or has another size than its record says.
        """
        return [self._detect(record) for record in batched_inputs]

    def _detect(self, record: dict[str, Any]) -> dict[str, Instances]:
        image = open_image(record)
        size = image.shape[:2]
        tiles = tqdm(self.grid.tiles(*size[::-1]), desc="tiles", unit="tile", leave=False, delay=1)
        found: dict[str, list[Instances]] = defaultdict(list)
        for batch in tile_batches(image, tiles, partial(prepare, card=self.card), BATCH_SIZE):
            outputs = self.model([_model_input(*one) for one in batch])
            for (tile, _), output in zip(batch, outputs, strict=True):
                for name, instances in output.items():
                    found[name].append(self._place(instances.to("cpu"), tile, size))
        return {name: self._join(name, parts) for name, parts in found.items()}

    def _place(self, found: Instances, tile: Tile, size: tuple[int, int]) -> Instances:
        """What counts of the detections in a tile, in pixels of the image."""
        boxes = found.pred_boxes.tensor + torch.tensor([*tile.box[:2], *tile.box[:2]])
        placed = Instances(
            size, pred_boxes=Boxes(boxes), scores=found.scores, pred_classes=found.pred_classes
        )
        return placed if self.merge == "nms" else placed[tile.owns(boxes)]

    def _join(self, name: str, parts: list[Instances]) -> Instances:
        joined = Instances.cat(parts)
        if self.merge == "nms" and name == "instances":  # among candidates, the evaluator does it
            return class_wise_nms(joined)
        return joined[joined.scores.argsort(descending=True, stable=True)]


def _model_input(tile: Tile, prepared: Any) -> dict[str, Any]:
    x1, y1, x2, y2 = tile.box
    return {"image": torch.from_numpy(prepared), "height": y2 - y1, "width": x2 - x1}


def open_image(record: dict[str, Any]) -> Any:
    """The image (H, W, 3), BGR, of a record of a dataset, or a stream of its rows.

    Raises:
        UserError: it cannot be used, or has another size than the record says.
    """
    file_name = record["file_name"]
    try:
        image = open_large_image(PathManager.get_local_path(file_name))
        check_image_size(record, image)
    except (OSError, UserError, SizeMismatchError) as error:
        raise UserError(
            f'cannot use the image "{file_name}": {error} '
            "(restore the file, or remove it from the annotations)"
        ) from error
    return image


def tile_grid(cfg: CfgNode) -> TileGrid | None:
    """The tiles of ``TEST.TILE`` and ``TEST.TILE_OVERLAP``; None where images are seen whole.

    Raises:
        ConfigError: there can be no such tiles, ``TEST.TILE_MERGE`` is unknown, or images are
            neither BGR nor RGB.
    """
    if not cfg.TEST.get("TILE"):  # a config of Detectron2 alone has no such key
        return None
    choose("TEST.TILE_MERGE", cfg.TEST.TILE_MERGE, MERGES)
    choose("INPUT.FORMAT, with TEST.TILE", cfg.INPUT.FORMAT, CHANNEL_ORDERS)
    try:
        return TileGrid(cfg.TEST.TILE, cfg.TEST.TILE_OVERLAP)
    except UserError as error:
        raise ConfigError(f"TEST.TILE, TEST.TILE_OVERLAP: {error}.") from None


def in_tiles(cfg: CfgNode, model: nn.Module) -> nn.Module:
    """The model as ``TEST.TILE`` wants it to be evaluated."""
    grid = tile_grid(cfg)
    return TiledDetector(model, grid, make_card(cfg), cfg.TEST.TILE_MERGE) if grid else model


def max_detections(cfg: CfgNode, dataset_name: str) -> int:
    """How many detections an image of a dataset has at most.

    ``TEST.DETECTIONS_PER_IMAGE`` of each tile of that with most tiles, where there are tiles.
    """
    grid = tile_grid(cfg)
    if grid is None:
        return cfg.TEST.DETECTIONS_PER_IMAGE
    sizes = {(record["width"], record["height"]) for record in load_records(dataset_name)}
    return cfg.TEST.DETECTIONS_PER_IMAGE * max(
        (len(grid.boxes(*size)) for size in sizes), default=1
    )
