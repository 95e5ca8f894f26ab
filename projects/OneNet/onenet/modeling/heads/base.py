"""The interface of heads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from detectron2.layers import ShapeSpec
from torch import Tensor, nn

from ...errors import ConfigError
from ...structures import AUX, DENSE, MAIN, Predictions, Priors
from .branches import BranchOptions


class DenseHead(nn.Module):
    """Predicts classes and boxes at every sample, and says where the samples are.

    A head knows nothing of assigners and losses.

    Attributes:
        branches: names of what is predicted in training; inference uses the first.
        selector: multiplies the class scores by one that is trained one-to-one.
        auxiliary: a head of its own on the shared features.
        detach: whether no gradient of the main branch reaches the shared features.
        test_auxiliary: whether inference uses the auxiliary branch.
    """

    def __init__(self, branches: BranchOptions | None = None):
        """
        Args:
            branches: what there is beside the main branch; None = nothing.
        """
        super().__init__()
        branches = branches or BranchOptions()
        self.branches: tuple[str, ...] = (MAIN, *branches.names)
        self.selector = branches.selector
        self.auxiliary = branches.auxiliary
        self.detach = branches.detach
        self.test_auxiliary = branches.test_auxiliary

    def forward(self, features: list[Tensor]) -> tuple[dict[str, Predictions], Priors]:
        """Predict on the feature maps named by ``MODEL.OneNet.IN_FEATURES``.

        Args:
            features: (B, C, H, W) maps, finest first.

        Returns:
            The predictions of each of ``branches`` (in evaluation mode the one that is used, and
            after it the classes and boxes that a selector chooses from), and the samples they
            belong to.
        """
        raise NotImplementedError

    def group(
        self, branches: dict[str, Predictions], priors: Priors
    ) -> tuple[dict[str, Predictions], Priors]:
        """What detections are chosen from; a head whose samples are no objects makes some of them.

        Args:
            branches, priors: what :meth:`forward` returned in evaluation mode.

        Returns:
            The same for objects; there may be more or fewer of them than samples.
        """
        return branches, priors

    def main_input(self, shared: Tensor) -> Tensor:
        """What the main branch sees of a shared feature map."""
        return shared.detach() if self.detach else shared

    def join(
        self, predictions: Predictions, features: list[Tensor], shared: list[Tensor]
    ) -> dict[str, Predictions]:
        """All branches in training, otherwise the one that is used and what a selector sees.

        Args:
            predictions: classes and boxes.
            features: the feature maps from which they were made; a selector sees them too.
            shared: the feature maps that the auxiliary head sees.
        """
        if self.auxiliary is not None and (self.training or self.test_auxiliary):
            auxiliary, _ = self.auxiliary(shared)
            taught = {AUX: auxiliary[MAIN]}
            return {MAIN: predictions, **taught} if self.training else taught
        if self.selector is None:
            return {MAIN: predictions}
        # Here the quality is the selection; that of a head with centerness goes into the classes.
        found = predictions.float().detach().joint()
        branches = {MAIN: replace(found, quality=self.selector(features, found))}
        if DENSE in self.branches or not self.training:
            branches[DENSE] = predictions
        return branches


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
