"""The interface of heads."""

from __future__ import annotations

from collections.abc import Sequence

from detectron2.layers import ShapeSpec
from torch import Tensor, nn

from ..errors import ConfigError
from ..structures import Predictions, Priors

MAIN = "main"  # the branch that inference uses


class DenseHead(nn.Module):
    """Predicts classes and boxes at every sample, and says where the samples are.

    A head knows nothing of assigners and losses.

    Attributes:
        branches: names of what is predicted in training; inference uses the first.
    """

    branches: tuple[str, ...] = (MAIN,)

    def forward(self, features: list[Tensor]) -> tuple[dict[str, Predictions], Priors]:
        """Predict on the feature maps named by ``MODEL.OneNet.IN_FEATURES``.

        Args:
            features: (B, C, H, W) maps, finest first.

        Returns:
            The predictions of each of ``branches`` (in evaluation mode of the first alone), and the
            samples they belong to.
        """
        raise NotImplementedError


def check_strides(
    source: str, strides: Sequence[int], features: Sequence[str], input_shape: dict[str, ShapeSpec]
) -> None:
    """Compare expected strides with those of the backbone, where it knows them.

    Args:
        source: who expects ``strides``; the message starts with it.
        strides: one for each of ``features``.
        features: names of feature maps.
        input_shape: the backbone's features by name.

    Raises:
        ConfigError: they differ.
    """
    actual = [input_shape[name].stride for name in features]
    if any(known not in (None, wanted) for known, wanted in zip(actual, strides, strict=False)):
        raise ConfigError(
            f"{source} {list(strides)}: the backbone's strides of {list(features)} are {actual}."
        )
