"""The pictures that a finished run leaves behind."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import MapDataset, MetadataCatalog
from detectron2.data.detection_utils import convert_image_to_rgb
from detectron2.modeling import build_model
from detectron2.structures import Instances
from torch import nn
from tqdm import tqdm

from ..checkpoint.checkpointer import Checkpointer
from ..data.annotated import annotated_scenes, evenly_spread
from ..engine.hooks.initial_weights import FILE_NAME as INITIAL_WEIGHTS
from ..engine.metrics_file import read_metrics
from ..evaluation.diagnosis import MATCH_IOU, Matches, match_detections, merge_matches
from ..evaluation.operating_point import best_f1_threshold
from ..inspection.positives import positive_samples
from .assignment import positives_figure
from .curves import plot_curves
from .detections import Scene, scene_sheet
from .draw import save_figure

logger = logging.getLogger(__name__)

FOLDER = "pictures"
SHEET, CURVES, POSITIVES = "detections.png", "curves.png", "positives.png"
SINGLES = "scenes"  # the pairs of the sheet one by one
NUM_SCENES = 8  # on the sheet
NUM_CROWDED = 4  # of them, those with the most objects, in the figure of the positive samples

_SHEET_CAPTION = """\
{shown} of the {total} scenes of {dataset}, evenly spread. Left: ground truth. Right: detections \
without NMS that score at least {threshold:.2f}, where F1 is highest ({f1:.2f}).
Solid: right, the best detection of that class with IoU > {iou:g}. \
Dashed: wrong, or one more detection of the same object."""

_POSITIVES_CAPTION = """\
Scenes of {dataset} with the ground truth (solid) and the positive sample that the assigner picks \
for it (dot), in the colour of the object.
Dashed: the box that the network predicts at that sample. A dot with a ring is the sample of two \
objects."""


def draw_gallery(cfg: CfgNode) -> list[Path]:
    """Draw the pictures of a run that has ended into ``pictures/`` in its output folder.

    ``detections.png`` has ground truth beside detections, of which ``scenes/`` holds each pair
    alone; ``curves.png`` has losses and AP; ``positives.png`` the positive sample of each ground
    truth before and after training. The scenes are of the first dataset of ``DATASETS.TEST``.

    Args:
        cfg: of the run; ``OUTPUT_DIR`` holds its last checkpoint and metrics.

    Returns:
        The three files.
    """
    output = Path(cfg.OUTPUT_DIR)
    folder = output / FOLDER
    (folder / SINGLES).mkdir(parents=True, exist_ok=True)
    scenes = annotated_scenes(cfg, cfg.DATASETS.TEST[0])
    model = build_model(cfg).eval()
    Checkpointer(model, str(output)).resume_or_load("", resume=True)

    save_figure(plot_curves(read_metrics(output), str(output)), folder / CURVES)
    _draw_scenes(cfg, model, scenes, folder)
    _draw_positives(cfg, model, scenes, folder)
    return gallery_files(output)


def gallery_files(output_dir: str | os.PathLike) -> list[Path]:
    """The three files, drawn or not."""
    return [Path(output_dir, FOLDER, name) for name in (SHEET, CURVES, POSITIVES)]


@torch.no_grad()
def detect(model: nn.Module, scene: dict) -> Instances:
    """Detections on the CPU, in pixels of the network's input, whatever the original size."""
    return model([{"image": scene["image"]}])[0]["instances"].to("cpu")


def match_scene(scene: dict, detections: Instances) -> Matches:
    """Match the detections of a scene to its ground truth, see :func:`match_detections`."""
    truth = scene["instances"]
    return match_detections(
        detections.pred_boxes.tensor.float(),
        detections.scores,
        detections.pred_classes,
        truth.gt_boxes.tensor,
        truth.gt_classes,
    )


def _draw_scenes(cfg: CfgNode, model: nn.Module, scenes: MapDataset, folder: Path) -> None:
    dataset = cfg.DATASETS.TEST[0]
    names = MetadataCatalog.get(dataset).thing_classes
    bar = tqdm(scenes, desc="finding the score threshold", unit="image")
    matches = merge_matches(match_scene(scene, detect(model, scene)) for scene in bar)
    threshold, f1 = best_f1_threshold(matches)
    shown = [
        detected_scene(model, scenes[i], cfg.INPUT.FORMAT, threshold)
        for i in evenly_spread(len(scenes), NUM_SCENES)
    ]
    caption = _SHEET_CAPTION.format(
        shown=len(shown), total=len(scenes), dataset=dataset,
        threshold=threshold, f1=f1, iou=MATCH_IOU,
    )  # fmt: skip
    save_figure(scene_sheet(shown, names, caption), folder / SHEET)
    for scene in shown:
        save_figure(scene_sheet([scene], names), folder / SINGLES / f"{scene.name}.png")


def detected_scene(model: nn.Module, scene: dict, image_format: str, threshold: float) -> Scene:
    """An annotated scene with the detections that score at least ``threshold``."""
    found = detect(model, scene)
    return Scene(
        name=Path(scene["file_name"]).stem,
        image=input_image(scene, image_format),
        truth=scene["instances"],
        detections=found[found.scores >= threshold],
    )


def _draw_positives(cfg: CfgNode, model: nn.Module, scenes: MapDataset, folder: Path) -> None:
    candidates = [scenes[i] for i in evenly_spread(len(scenes), NUM_SCENES)]
    candidates.sort(key=lambda scene: len(scene["instances"]), reverse=True)
    batch = candidates[:NUM_CROWDED]
    moments = {"after training": positive_samples(model, batch)}
    initial = Path(cfg.OUTPUT_DIR) / INITIAL_WEIGHTS
    if initial.exists():
        Checkpointer(model).load(str(initial))
        before = positive_samples(model, batch, batch_statistics=True)
        moments = {"before training": before, **moments}
    else:
        logger.warning("%s is missing: the positive samples before training are not drawn", initial)
    images = [input_image(scene, cfg.INPUT.FORMAT) for scene in batch]
    caption = _POSITIVES_CAPTION.format(dataset=cfg.DATASETS.TEST[0])
    save_figure(positives_figure(moments, images, caption), folder / POSITIVES)


def input_image(scene: dict, image_format: str) -> np.ndarray:
    """The network's input for the eye, RGB (H, W, 3) uint8."""
    return convert_image_to_rgb(scene["image"].permute(1, 2, 0), image_format)
