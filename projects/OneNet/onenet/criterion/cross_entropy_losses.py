"""Class losses whose positives cost their cross-entropy as it is."""

from __future__ import annotations

import torch.nn.functional as F
from detectron2.config import configurable
from torch import Tensor

from .class_loss import ClassLoss, binary_cross_entropy


class CrossEntropyLoss(ClassLoss):
    """Binary cross-entropy with soft targets, as in YOLOv8 and its successors."""

    def positive(self, logits: Tensor, targets: Tensor) -> Tensor:
        return binary_cross_entropy(logits, targets)

    def negative(self, logits: Tensor) -> Tensor:
        return F.softplus(logits)


class MatchabilityAwareLoss(ClassLoss):
    """Cross-entropy with target ``t^gamma``; that of negatives of score p times ``p^gamma``.

    The factor has no gradient. A pair of target 0 costs its whole cross-entropy, so that a bad box
    with a high score is not forgiven. Source: Huang et al., "DEIM: DETR with Improved Matching for
    Fast Convergence", CVPR 2025.
    """

    @configurable
    def __init__(self, *, weight: float = 2.0, alpha: float = 1.0, gamma: float = 1.5):
        """
        Args:
            weight: factor of the loss.
            alpha: further factor of negatives.
            gamma: exponent.
        """
        super().__init__(weight=weight)
        self.alpha = alpha
        self.gamma = gamma

    def positive(self, logits: Tensor, targets: Tensor) -> Tensor:
        return binary_cross_entropy(logits, targets.pow(self.gamma))

    def negative(self, logits: Tensor) -> Tensor:
        factor = logits.detach().sigmoid().pow_(self.gamma).mul_(self.alpha)
        return factor * F.softplus(logits)
