"""The interface of losses."""

from __future__ import annotations

from torch import Tensor, nn

from ..structures import Assignment, GroundTruth, Predictions, Priors


class Loss(nn.Module):
    """A term of what a branch is trained with; it does not know which rule made the assignment.

    Like an assigner it must not synchronise with the device, forward or backward, and every
    assignment, also one without a positive, has to give finite losses and gradients.
    """

    def forward(
        self,
        priors: Priors,
        predictions: Predictions,
        assignment: Assignment,
        gt: GroundTruth,
        normalizer: Tensor,
    ) -> dict[str, Tensor]:
        """Weighted losses of a batch by name, each () float32.

        Args:
            priors: the R samples.
            predictions: of the same samples, float32.
            assignment: what they are trained towards.
            gt: G padded ground truths for each of B images.
            normalizer: () float32, by which sums over the batch are divided.
        """
        raise NotImplementedError
