"""Pictures of detections: over one image, and beside the ground truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from detectron2.structures import Instances, pairwise_iou
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from ..evaluation.diagnosis import MATCH_IOU
from .draw import draw_boxes, new_figure, nth_color, panel_grid, show_image, to_array
from .fonts import legible, legible_names

_FONT_SHARE = 0.02  # font size as a share of the picture's side
_FONT_RANGE = (7.0, 16.0)  # points


@dataclass(frozen=True)
class Scene:
    """An annotated image and what a detector found on it.

    Attributes:
        name: for titles and file names.
        image: (H, W, 3) uint8, RGB.
        truth: with ``gt_boxes`` in pixels of the image and ``gt_classes``.
        detections: with ``pred_boxes``, ``pred_classes`` and ``scores``, best first.
    """

    name: str
    image: np.ndarray
    truth: Instances
    detections: Instances


def draw_detections(
    image: np.ndarray, detections: Instances, class_names: Sequence[str], scale: float = 1.0
) -> np.ndarray:
    """Draw detections on an image; a class has the same colour in every picture.

    Args:
        image: (H, W, 3) uint8, RGB.
        detections: on the CPU, with ``pred_boxes``, ``pred_classes`` and ``scores``.
        class_names: of the dataset.
        scale: enlargement.

    Returns:
        (scale * H, scale * W, 3) uint8, RGB.
    """
    ax, font_size = _enlarged(image, scale)
    draw_found(ax, detections, class_names, font_size=font_size)
    return to_array(ax.figure)


def draw_truth(
    image: np.ndarray, truth: Instances, class_names: Sequence[str], scale: float = 1.0
) -> np.ndarray:
    """Draw ground truths on an image, as :func:`draw_detections` draws detections.

    Args:
        image: (H, W, 3) uint8, RGB.
        truth: on the CPU, with ``gt_boxes`` and ``gt_classes``.
        class_names: of the dataset.
        scale: enlargement.

    Returns:
        (scale * H, scale * W, 3) uint8, RGB.
    """
    ax, font_size = _enlarged(image, scale)
    _draw_objects(ax, truth, class_names, font_size=font_size)
    return to_array(ax.figure)


def _enlarged(image: np.ndarray, scale: float) -> tuple[Axes, float]:
    """A figure of the image alone, and the font size that suits it."""
    height, width = (max(1, round(scale * side)) for side in image.shape[:2])
    ax = new_figure(width, height).add_axes((0, 0, 1, 1))
    show_image(ax, image)
    ax.set_aspect("auto")  # rounding must not leave a margin
    return ax, float(np.clip(_FONT_SHARE * np.sqrt(height * width), *_FONT_RANGE))


def correct_detections(
    detections: Instances, truth: Instances, iou_threshold: float = MATCH_IOU
) -> Tensor:
    """Which detections are right: the best one of its class on a ground truth.

    A detection is counted for the ground truth of its class that it overlaps most, if by more than
    ``iou_threshold``; any further one counted for the same ground truth is a duplicate, thus wrong.

    Args:
        detections: D of them, best first.
        truth: the objects of the same image.
        iou_threshold: overlap means an IoU strictly above this.

    Returns:
        (D,) bool.
    """
    if not len(truth) or not len(detections):
        return torch.zeros(len(detections), dtype=torch.bool)
    iou = pairwise_iou(detections.pred_boxes, truth.gt_boxes)  # (D, G)
    iou = iou * (detections.pred_classes[:, None] == truth.gt_classes)
    best, gt = iou.max(dim=1)
    counted = (best > iou_threshold)[:, None] & (gt[:, None] == torch.arange(len(truth)))
    return (counted & (counted.cumsum(dim=0) == 1)).any(dim=1)


def scene_sheet(
    scenes: Sequence[Scene], class_names: Sequence[str], caption: str = "", pairs_per_row: int = 2
) -> Figure:
    """Ground truth beside detections, scene by scene; wrong detections are dashed."""
    rows = -(-len(scenes) // pairs_per_row)
    columns = 2 * min(pairs_per_row, len(scenes))
    figure, axes = panel_grid(rows, columns, caption)
    for scene, pair in zip(scenes, axes.reshape(-1, 2)[: len(scenes)], strict=True):
        _draw_pair(pair, scene, class_names)
    return figure


def _draw_pair(axes: Sequence[Axes], scene: Scene, class_names: Sequence[str]) -> None:
    left, right = axes
    for ax in axes:
        show_image(ax, scene.image)
    _draw_objects(left, scene.truth, class_names)
    left.set_title(f"{legible(scene.name)}: ground truth", fontsize=10, loc="left", pad=4)

    correct = correct_detections(scene.detections, scene.truth)
    draw_found(right, scene.detections[~correct], class_names, line_style=(0, (2, 1.5)))
    draw_found(right, scene.detections[correct], class_names)
    found, wrong = int(correct.sum()), int((~correct).sum())
    title = f"detections: {found} of {len(scene.truth)} found" + (
        f", {wrong} wrong" if wrong else ""
    )
    right.set_title(title, fontsize=10, loc="left", pad=4)


def _draw_objects(ax: Axes, truth: Instances, class_names: Sequence[str], **style) -> None:
    names, classes = legible_names(class_names), truth.gt_classes.tolist()
    boxes, labels = truth.gt_boxes.tensor.numpy(), [names[c] for c in classes]
    draw_boxes(ax, boxes, list(map(nth_color, classes)), labels, **style)


def draw_found(ax: Axes, found: Instances, class_names: Sequence[str], **style) -> None:
    """Draw detections with class and score on an image that is there, in ``style`` of boxes."""
    found = found[found.scores.argsort()]  # the best in front
    classes, scores = found.pred_classes.tolist(), found.scores.tolist()
    names = legible_names(class_names)
    labels = [f"{names[c]} {score:.2f}" for c, score in zip(classes, scores, strict=True)]
    draw_boxes(ax, found.pred_boxes.tensor.numpy(), list(map(nth_color, classes)), labels, **style)
