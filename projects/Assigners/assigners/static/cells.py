"""Which cells of the grids hold the centres of objects."""

from __future__ import annotations

import torch
from onenet import GroundTruth, Priors
from onenet.errors import UserError
from onenet.geometry import box_centers
from torch import Tensor


def center_cells(priors: Priors, gt: GroundTruth) -> Tensor:
    """The cell of each object's centre on every level; outside of the grid the nearest one.

    Args:
        priors: R samples on grids; a cell reaches half a stride from its point.
        gt: G padded ground truths for each of B images.

    Returns:
        (B, G, levels) int64, the first sample of the cell.

    Raises:
        UserError: the samples form no grid.
    """
    if priors.shapes is None:
        raise UserError("The rule YOLOv3 needs a head whose samples lie on grids (Priors.shapes).")
    centers, cells, start = box_centers(gt.boxes), [], 0
    for size, (height, width) in zip(priors.level_sizes, priors.shapes, strict=True):
        stride = priors.stride[start]
        x, y = ((centers - (priors.points[start] - stride / 2)) / stride).floor().unbind(-1)
        cell = y.clamp(0, height - 1).long() * width + x.clamp(0, width - 1).long()
        cells.append(start + cell * priors.anchors)
        start += size
    return torch.stack(cells, dim=-1)
