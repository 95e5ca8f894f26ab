"""Where the positive samples are, drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..inspection.positives import PositiveSamples
from .draw import Color, draw_boxes, nth_color, panel_grid, show_image

DOT_AREA = 70.0  # of the heaviest positive sample of an image, points squared
RING_WIDTH = 0.7  # of a dot around another one, in radii of the inner one
SEAM = 1.2  # of such a dot, points
LEAST_SHARE = 0.1  # of that area, so that light samples can be seen


def draw_positive_samples(
    ax: Axes,
    image: np.ndarray,
    samples: PositiveSamples,
    index: int,
    *,
    predicted_boxes: bool = True,
) -> None:
    """Draw the ground truths of one image, each with its positive samples in its own colour.

    Args:
        ax: where to draw.
        image: (H, W, 3) RGB, the network's input.
        samples: of the batch.
        index: of the image in the batch.
        predicted_boxes: whether to draw, dashed, what is predicted at the positive samples; with
            many positives to a ground truth that is too much.
    """
    show_image(ax, image)
    valid = samples.gt.valid[index].cpu()
    true_boxes = samples.gt.boxes[index].cpu()[valid].numpy()
    draw_boxes(ax, true_boxes, [nth_color(g) for g in valid.nonzero().flatten().tolist()])

    used = samples.assignment.positive[index].cpu()
    colors = [nth_color(g) for g in samples.assignment.gt[index].cpu()[used].tolist()]
    if predicted_boxes:
        sample = samples.assignment.sample[index].cpu()[used]
        boxes = samples.predictions.boxes[index].cpu()[sample].numpy()
        draw_boxes(ax, boxes, colors, line_style=(0, (3, 2)), line_width=1.3)
    draw_dots(ax, samples, index, colors)
    # Samples and boxes may lie in the padding; the picture ends where the image does.
    ax.set_xlim(0, image.shape[1])
    ax.set_ylim(image.shape[0], 0)


def draw_dots(
    ax: Axes,
    samples: PositiveSamples,
    index: int,
    colors: Sequence[Color],
    area: float = DOT_AREA,
) -> None:
    """Draw a dot at the sample of each positive pair of an image, sized by its weight.

    Those on one sample lie on each other as rings.

    Args:
        ax: where to draw.
        samples: of a batch.
        index: of the image.
        colors: of its positive pairs, in their order.
        area: of the heaviest dot, points squared.
    """
    used = samples.assignment.positive[index].cpu()
    sample = samples.assignment.sample[index].cpu()[used]
    if not len(sample):
        return
    weight = samples.assignment.weight[index].cpu()[used].numpy()
    x, y = samples.priors.points.cpu()[sample].T.numpy()
    areas = area * np.maximum(weight / weight.max(), LEAST_SHARE) * _rings(sample.numpy())
    width = SEAM * np.sqrt(area / DOT_AREA)
    ax.scatter(x, y, areas, list(colors), edgecolors="black", linewidths=width, zorder=3)


def _rings(sample: np.ndarray) -> np.ndarray:
    """Factors on the area of dots (P,), so that those on one sample lie on each other as rings."""
    same = sample[:, None] == sample
    above = np.triu(same, k=1).sum(axis=1)
    return (1 + RING_WIDTH * above) ** 2


def positives_figure(
    moments: Mapping[str, PositiveSamples], images: Sequence[np.ndarray], caption: str = ""
) -> Figure:
    """The same images below each other at several moments, such as before and after training.

    Args:
        moments: title of a row -> positive samples of the batch.
        images: the batch, each (H, W, 3) RGB; the columns.
        caption: what one sees.
    """
    figure, axes = panel_grid(len(moments), len(images), caption)
    for row, (title, samples) in zip(axes, moments.items(), strict=True):
        for index, (ax, image) in enumerate(zip(row, images, strict=True)):
            draw_positive_samples(ax, image, samples, index)
            ax.set_title(title, fontsize=10, loc="left", pad=4)
    return figure
