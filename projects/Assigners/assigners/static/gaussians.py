"""Gaussians around cells of feature maps, under which negatives are lighter."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from onenet import Assignment, GroundTruth
from onenet.assignment import Condition
from onenet.assignment.pieces import piece_size
from torch import Tensor


@dataclass(frozen=True)
class GaussianCells:
    """Cells that Gaussians stand on, one a slot.

    Attributes:
        x, y: (B, P) int64, the cell on its feature map.
        radius: (B, P) int64, where the Gaussian is cut off, in cells.
        kept: (B, P) bool, False where there is none.
        first: (B, P) int64, index of the first location of the map among all locations.
        columns, rows: (B, P) int64, cells of the feature map.
    """

    x: Tensor
    y: Tensor
    radius: Tensor
    kept: Tensor
    first: Tensor
    columns: Tensor
    rows: Tensor

    @property
    def location(self) -> Tensor:
        """(B, P) int64, index of the cell among the locations of all maps."""
        return self.first + self.y * self.columns + self.x


def lighter_negatives(
    cells: GaussianCells,
    labels: Tensor,
    num_classes: int,
    num_locations: int,
    reach: int,
    max_pairs: int = 0,
) -> Tensor:
    """``(1 - Y)^4``, where Y is the largest Gaussian of the class, with a maximum of 1.

    The standard deviation is a sixth of the diameter. A Gaussian is the product of one along x and
    one along y, and no radius is larger than ``reach``, so that a window of that size is all there
    is to draw.

    Args:
        cells: P of each of B images.
        labels: (B, P) int64, their classes.
        num_classes: K.
        num_locations: L, on all feature maps.
        reach: no radius is larger.
        max_pairs: bounds the memory, not the result; 0 = by device.

    Returns:
        (B, K, L) float32.
    """
    offset = torch.arange(-reach, reach + 1, device=labels.device)
    across, column = _profile(cells.x, cells.columns, cells.radius, offset)
    down, row = _profile(cells.y, cells.rows, cells.radius, offset)
    across = across * cells.kept[..., None]
    row = row * cells.columns[..., None] + cells.first[..., None]
    row = row + labels[..., None] * num_locations

    batch, slots = labels.shape
    weight = across.new_ones(batch, num_classes * num_locations)
    step = piece_size(max_pairs, batch * len(offset) ** 2, weight.device)
    for start in range(0, slots, step):
        piece = slice(start, start + step)
        index = row[:, piece, :, None] + column[:, piece, None]
        heat = down[:, piece, :, None] * across[:, piece, None]
        lighter = heat.neg_().add_(1).square_().square_()
        weight.scatter_reduce_(1, index.flatten(1), lighter.flatten(1), "amin")
    return weight.view(batch, num_classes, num_locations)


def distance_and_gaussian(cells: GaussianCells, num_locations: int) -> tuple[Tensor, Tensor]:
    """What every location is to every cell that a Gaussian stands on, each (B, P, L) float32.

    Returns:
        The larger one of the distances along x and y, in cells, infinite on other maps; and the
        Gaussian there.
    """
    index = torch.arange(num_locations, device=cells.x.device) - cells.first[..., None]
    columns, rows = cells.columns[..., None], cells.rows[..., None]
    x = index % columns - cells.x[..., None]
    y = index.div(columns, rounding_mode="floor") - cells.y[..., None]
    radius = cells.radius[..., None]
    distance = torch.maximum(x.abs(), y.abs())
    same_map = (index >= 0) & (index < columns * rows)
    sigma = (2 * radius + 1) / 6
    gaussian = torch.exp(-(x.square() + y.square()) / (2 * sigma.square()))
    drawn = same_map & (distance <= radius) & cells.kept[..., None]
    return distance.float().masked_fill(~same_map, torch.inf), gaussian * drawn


def explain_weights(
    assignment: Assignment, gt: GroundTruth, gaussian: Tensor
) -> tuple[dict[str, Tensor], list[Condition]]:
    """Quantities of an explanation, and what makes a sample ignored: all classes have weight 0.

    Args:
        assignment: with a weight (B, R, K) for every class.
        gt: G padded ground truths for each of B images.
        gaussian: (B, G, R), of each ground truth alone.
    """
    image = torch.arange(len(gt.labels), device=gt.labels.device)[:, None]
    weight = assignment.cls_weight.transpose(1, 2)
    quantities = {"Gaussian": gaussian, "weight in the class loss": weight[image, gt.labels]}
    nothing = (weight == 0).all(dim=1, keepdim=True)
    return quantities, [Condition("of weight 0 for every class", nothing)]


def _profile(
    center: Tensor, cells: Tensor, radius: Tensor, offset: Tensor
) -> tuple[Tensor, Tensor]:
    """One axis of each Gaussian.

    Args:
        center: (B, P) int64, cell that it stands on.
        cells: (B, P) int64, extent of the feature map.
        radius: (B, P) int64.
        offset: (D,) int64, distances from the centre.

    Returns:
        Values (B, P, D) float32, 0 beyond the radius and the feature map, and the cells they
        belong to (B, P, D) int64, all of them on the feature map.
    """
    radius, cells = radius[..., None], cells[..., None]
    cell = center[..., None] + offset
    drawn = (offset.abs() <= radius) & (cell >= 0) & (cell < cells)
    sigma = (2 * radius + 1) / 6
    gaussian = torch.exp(-offset.square() / (2 * sigma.square()))
    return gaussian * drawn, cell.clamp(min=0).minimum(cells - 1)
