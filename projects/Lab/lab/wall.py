"""The picture wall: the same validation scenes for every arm."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from detectron2.config import CfgNode
from detectron2.data import MapDataset, MetadataCatalog
from detectron2.modeling import build_model
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from onenet.checkpoint.checkpointer import Checkpointer
from onenet.evaluation import best_f1_threshold, merge_matches
from onenet.visualization import (
    PositiveSamples,
    Scene,
    correct_detections,
    draw_positive_samples,
    positive_samples,
    save_figure,
)
from onenet.visualization.detections import draw_found
from onenet.visualization.draw import new_figure, show_image
from onenet.visualization.gallery import (
    annotated_scenes,
    detect,
    detected_scene,
    evenly_spread,
    match_scene,
)
from onenet.visualization.sample_map import best_scores, sample_map
from torch import nn
from tqdm import tqdm

from .experiment import Run
from .results import Tree

FOLDER = "wall"
NUM_SCENES = 4
NUM_CANDIDATES = 24  # evenly spread scenes, of which the most crowded ones are shown
PANEL = 240  # longer side of a panel, pixels
GAP = 6  # between panels, pixels
QUALITY = 85  # of the JPEGs
MANY = 4  # positive samples a ground truth, above which their predicted boxes hide everything


def draw_wall(runs: Sequence[Run], configs: Sequence[CfgNode], output: Path) -> list[Tree]:
    """Draw a strip for each scene and arm: positive samples, heat, detections.

    Args:
        runs, configs: one finished run of each arm.
        output: folder of the experiment; the pictures go to ``wall/`` in it.

    Returns:
        For each scene its ``name``, and ``pictures``: label of an arm -> ``file`` (relative to
        ``output``) and a ``caption``.
    """
    if not runs:
        return []
    indices = crowded_scenes(configs[0])
    walls: list[Tree] = []
    for run, cfg in zip(tqdm(runs, desc="drawing the scenes", unit="arm"), configs, strict=True):
        scenes = annotated_scenes(cfg, cfg.DATASETS.TEST[0])
        chosen = [scenes[i] for i in indices]
        walls = walls or [{"name": Path(s["file_name"]).stem, "pictures": {}} for s in chosen]
        captions = _draw_arm(run, cfg, scenes, chosen, output)
        for wall, (file, caption) in zip(walls, captions, strict=True):
            wall["pictures"][run.arm.label] = {"file": file, "caption": caption}
    return walls


def crowded_scenes(cfg: CfgNode) -> list[int]:
    """Indices of the scenes that are shown: of evenly spread ones those with the most objects."""
    scenes = annotated_scenes(cfg, cfg.DATASETS.TEST[0])
    candidates = evenly_spread(len(scenes), NUM_CANDIDATES)
    candidates.sort(key=lambda index: len(scenes[index]["instances"]), reverse=True)
    return candidates[:NUM_SCENES]


def _draw_arm(
    run: Run, cfg: CfgNode, scenes: MapDataset, chosen: list[dict], output: Path
) -> list[tuple[str, str]]:
    folder = output / FOLDER / run.arm.folder
    folder.mkdir(parents=True, exist_ok=True)
    model = build_model(cfg).eval()
    Checkpointer(model, str(run.output_dir)).resume_or_load("", resume=True)
    names = MetadataCatalog.get(cfg.DATASETS.TEST[0]).thing_classes
    threshold = _score_threshold(model, scenes)
    result = []
    for scene in chosen:
        samples = positive_samples(model, [scene])
        shown = detected_scene(model, scene, cfg.INPUT.FORMAT, threshold)
        file = folder / f"{shown.name}.jpg"
        save_figure(strip(shown, samples, names), file, pil_kwargs={"quality": QUALITY})
        result.append((str(file.relative_to(output)), describe(shown, samples, threshold)))
    return result


def _score_threshold(model: nn.Module, scenes: MapDataset) -> float:
    """Where the arm's F1 is highest, estimated on evenly spread scenes."""
    some = [scenes[i] for i in evenly_spread(len(scenes), NUM_CANDIDATES)]
    matches = merge_matches(match_scene(scene, detect(model, scene)) for scene in some)
    threshold, _ = best_f1_threshold(matches)
    return float(np.nan_to_num(threshold, nan=1.0))


def strip(scene: Scene, samples: PositiveSamples, class_names: Sequence[str]) -> Figure:
    """Positive samples, heat and detections of a scene beside each other."""
    height, width = scene.image.shape[:2]
    scale = PANEL / max(height, width)
    panel_width, panel_height = round(scale * width), round(scale * height)
    total = 3 * panel_width + 2 * GAP
    figure = new_figure(total, panel_height)
    positives, heat, detections = (
        figure.add_axes((i * (panel_width + GAP) / total, 0, panel_width / total, 1))
        for i in range(3)
    )
    few = samples.assignment.positive[0].sum() <= MANY * len(scene.truth)
    draw_positive_samples(positives, scene.image, samples, 0, predicted_boxes=bool(few))
    _draw_heat(heat, scene.image, samples)
    show_image(detections, scene.image)
    correct = correct_detections(scene.detections, scene.truth)
    draw_found(detections, scene.detections[~correct], class_names, line_style=(0, (2, 1.5)))
    draw_found(detections, scene.detections[correct], class_names)
    return figure


def _draw_heat(ax: Axes, image: np.ndarray, samples: PositiveSamples) -> None:
    height, width = image.shape[:2]
    show_image(ax, image.mean(axis=2, keepdims=True).repeat(3, axis=2).astype(np.uint8))
    heat = sample_map(best_scores(samples.predictions, 0), samples.priors, (height, width))
    ax.imshow(
        heat, cmap="inferno", vmin=0, vmax=1, alpha=0.75, extent=(0, width, height, 0),
        interpolation="nearest",
    )  # fmt: skip


def describe(scene: Scene, samples: PositiveSamples, threshold: float) -> str:
    """What can be counted in a strip."""
    correct = int(correct_detections(scene.detections, scene.truth).sum())
    wrong = len(scene.detections) - correct
    positives = int(samples.assignment.positive[0].sum())
    top = float(best_scores(samples.predictions, 0).max())
    return (
        f"{positives} positive samples for {len(scene.truth)} objects; highest score {top:.2f}; "
        f"at score {threshold:.2f}: {correct} found, {wrong} wrong"
    )
