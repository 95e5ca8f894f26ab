"""What a detector found, missed and made up, in pictures of many small objects."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..evaluation.diagnosis import MISSED as NEVER
from ..evaluation.diagnosis import match_detections
from .detections import Scene, correct_detections
from .draw import draw_boxes, panel_grid, show_image
from .fonts import legible

FOUND, MISSED, WRONG = "#9be33b", "#ffffff", "#ff5555"
DASHED = (0, (2, 1.5))
LINE_WIDTH = 1.2  # points
CAPTION = (
    "Green: detections that are right. White, dashed: objects that are missed. "
    "Red, dashed: detections that are wrong, or one more of an object."
)


def outcome_sheet(scenes: Sequence[Scene], width: int, caption: str = CAPTION) -> Figure:
    """Scenes beside each other, or one detector's scene beside another's.

    There are no labels: class and score of some hundred objects would hide them.

    Args:
        scenes: their names are the titles.
        width: of each, pixels.
        caption: below them.
    """
    aspect = max(scene.image.shape[0] / scene.image.shape[1] for scene in scenes)
    figure, axes = panel_grid(1, len(scenes), caption, width, aspect=aspect)
    for ax, scene in zip(axes[0], scenes, strict=True):
        _draw_outcome(ax, scene)
    return figure


def _draw_outcome(ax: Axes, scene: Scene) -> None:
    show_image(ax, scene.image)
    detections, truth = scene.detections, scene.truth
    correct = correct_detections(detections, truth)
    matches = match_detections(
        detections.pred_boxes.tensor,
        detections.scores,
        detections.pred_classes,
        truth.gt_boxes.tensor,
        truth.gt_classes,
    )
    for boxes, color, style in (
        (truth.gt_boxes.tensor[matches.found == NEVER], MISSED, DASHED),
        (detections.pred_boxes.tensor[~correct], WRONG, DASHED),
        (detections.pred_boxes.tensor[correct], FOUND, "-"),
    ):
        colors = [color] * len(boxes)
        draw_boxes(ax, boxes.numpy(), colors, line_style=style, line_width=LINE_WIDTH)
    right, wrong = int(correct.sum()), int((~correct).sum())
    title = f"{legible(scene.name)}: {right} of {len(truth)} found, {wrong} wrong"
    ax.set_title(title, fontsize=11, loc="left", pad=4)
