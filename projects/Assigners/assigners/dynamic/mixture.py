"""Two Gaussians for each of many small sets of numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

# Of scikit-learn's GaussianMixture.
ITERATIONS, TOLERANCE, LEAST_VARIANCE = 100, 1e-3, 1e-6


@dataclass(frozen=True)
class Mixture:
    """Two components of each set; every field is (..., 2) float64."""

    weight: Tensor
    mean: Tensor
    variance: Tensor

    def log_densities(self, values: Tensor) -> Tensor:
        """Logarithm of each component's weighted density (..., n, 2) at values (..., n)."""
        mean, variance = self.mean[..., None, :], self.variance[..., None, :]
        distance = (values[..., None] - mean).square() / variance
        log_weight = self.weight.log()[..., None, :]
        return log_weight - (distance + variance.log() + math.log(2 * math.pi)) / 2


def fit_mixture(values: Tensor, valid: Tensor) -> Mixture:
    """Fit two Gaussians to each set by expectation maximisation, as scikit-learn would.

    It starts from the least and the largest value, equal weights and variance 1. All sets are
    fitted at once, without a transfer to the host: one whose likelihood settles keeps what it has.

    Args:
        values: (..., n) float64, ascending; anything finite where not valid.
        valid: (..., n) bool, the first ones.
    """
    number = valid.sum(dim=-1, keepdim=True).clamp(min=1)
    largest = values.gather(-1, number - 1)
    mean = torch.cat([values[..., :1], largest], dim=-1)
    fitted = Mixture(torch.full_like(mean, 0.5), mean, torch.ones_like(mean))
    settled = torch.zeros_like(number, dtype=torch.bool)
    before = torch.full_like(values[..., :1], -torch.inf)
    for _ in range(ITERATIONS):
        densities = fitted.log_densities(values)
        density = densities.logsumexp(dim=-1)
        share = (densities - density[..., None]).exp() * valid[..., None]
        better = _of_shares(values[..., None], share)
        fitted = Mixture(*(torch.where(settled, old, new) for old, new in _pairs(fitted, better)))
        likelihood = (density * valid).sum(dim=-1, keepdim=True) / number
        settled = settled | ((likelihood - before).abs() < TOLERANCE)
        before = likelihood
    return fitted


def _of_shares(values: Tensor, share: Tensor) -> Mixture:
    """The maximisation step, for values (..., n, 1) and what each component has of them."""
    mass = share.sum(dim=-2) + 10 * torch.finfo(share.dtype).eps
    mean = (share * values).sum(dim=-2) / mass
    spread = (share * (values - mean[..., None, :]).square()).sum(dim=-2) / mass
    return Mixture(mass / mass.sum(dim=-1, keepdim=True), mean, spread + LEAST_VARIANCE)


def _pairs(one: Mixture, other: Mixture) -> zip:
    return zip(vars(one).values(), vars(other).values(), strict=True)
