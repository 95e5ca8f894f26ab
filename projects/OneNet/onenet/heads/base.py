"""The interface of heads."""

from __future__ import annotations

from torch import Tensor, nn

from ..structures import Predictions, Priors


class DenseHead(nn.Module):
    """Predicts classes and boxes at every sample, and says where the samples are.

    A head knows nothing of assigners and losses.
    """

    def forward(self, features: list[Tensor]) -> tuple[list[Predictions], Priors]:
        """Predict on the feature maps named by ``MODEL.OneNet.IN_FEATURES``.

        Args:
            features: (B, C, H, W) maps, finest first.

        Returns:
            The predictions of each stage, of which evaluation mode gives the first alone, and the
            samples they belong to.
        """
        raise NotImplementedError
