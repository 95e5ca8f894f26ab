"""Where in an object its samples are expected."""

from __future__ import annotations

import torch
from onenet import GroundTruth, Priors
from onenet.geometry import box_centers
from torch import Tensor, nn

LEAST_VARIANCE = 1e-6  # weight decay must not divide by 0


class CenterPrior(nn.Module):
    """A Gaussian around the centre of a ground truth, learnt for each class.

    Attributes:
        mu: (K, 2) offset along x and y in strides, 0 at first.
        sigma: (K, 2) width along x and y in strides, 1 at first.
    """

    def __init__(self, num_classes: int):
        """
        Args:
            num_classes: K.
        """
        super().__init__()
        self.mu = nn.Parameter(torch.zeros(num_classes, 2))
        self.sigma = nn.Parameter(torch.ones(num_classes, 2))

    def forward(self, priors: Priors, gt: GroundTruth) -> Tensor:
        """Logarithm of the Gaussian, at most 0, of every sample and ground truth, (B, G, R)."""
        center = box_centers(gt.boxes)[..., None]
        mu, sigma = (x[gt.labels][..., None] for x in (self.mu, self.sigma))
        precision = 0.5 / sigma.square().clamp(min=LEAST_VARIANCE)
        distance = 0.0
        for axis in range(2):
            offset = (priors.points[:, axis] - center[:, :, axis]).div_(priors.stride)
            distance = distance + (offset - mu[:, :, axis]).square() * precision[:, :, axis]
        return -distance
