"""The common denominator of the losses of a step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from detectron2.utils import comm
from torch import Tensor

from ..errors import UserError
from ..structures import Assignment, GroundTruth

DENOMINATORS_DIFFER = (
    "SOLVER.ACCUMULATE needs one denominator for all losses, and here they differ: use "
    "SOLVER.ACCUMULATE 1, or MODEL.OneNet.NUM_STAGES 1, no auxiliary branch, and another "
    "ASSIGNER.NAME than AutoAssign, SAPD and GuidedAnchoring"
)


class Normalizer:
    """The denominator of the losses: the objects of the whole batch, or what the assigner gives.

    The criteria of a model share one, so that a batch may come in several parts (:meth:`in_parts`).
    """

    def __init__(self) -> None:
        self._parts: Parts | None = None

    def __call__(self, assignment: Assignment, gt: GroundTruth) -> Tensor:
        """The denominator, () float32, see :func:`share_of_all`."""
        if assignment.normalizer is None:
            return self.of(gt.valid.sum(), objects=True)
        return self.of(assignment.normalizer)

    @torch.no_grad()
    def of(self, local: Tensor, objects: bool = False) -> Tensor:
        """The denominator, () float32.

        Args:
            local: () what this process adds to it.
            objects: whether that is the number of objects, which is the same for all branches.
        """
        local = local.float()
        return share_of_all(local) if self._parts is None else self._parts.add(local, objects)

    @contextmanager
    def in_parts(self, count: int) -> Iterator[Parts]:
        """Within, a batch comes in ``count`` parts of equally many images."""
        self._parts = Parts(count)
        try:
            yield self._parts
        finally:
            self._parts = None


class Parts:
    """Denominators while only a part of the batch is known.

    Losses are divided by an estimate, the first part's share times the number of parts. After the
    last part, :meth:`correction` is the estimate divided by the actual denominator.
    """

    def __init__(self, count: int):
        self.count = count
        self._expected: Tensor | None = None
        self._local: list[Tensor] = []
        self._alike = True

    def add(self, local: Tensor, objects: bool) -> Tensor:
        """The expected denominator, () float32, where ``local`` () is the part's share of it here.

        ``objects`` as for :meth:`Normalizer.of`.
        """
        self._local.append(local)
        self._alike &= objects
        if self._expected is None:
            self._expected = share_of_all(local) * self.count
        return self._expected

    def correction(self) -> Tensor:
        """What to multiply losses and gradients with, () float32, the same on all processes.

        Raises:
            UserError: branches differ in their denominators, so that one factor does not do.
        """
        branches = share_of_all(torch.stack(self._local).view(self.count, -1).sum(dim=0))
        # Read back only where that is not known: it waits for the device.
        if len(branches) > 1 and not self._alike and len(set(branches.tolist())) > 1:
            raise UserError(DENOMINATORS_DIFFER)
        return self._expected / branches[0]


def share_of_all(local: Tensor) -> Tensor:
    """From what each process adds to the denominator to the denominator itself.

    It is that of the whole batch, at least 1, divided by the number of processes: gradients are
    averaged over processes, and so N processes train exactly as one does with the whole batch.
    (The reference clamps after the division, which differs where the batch has hardly any object.)

    Args:
        local: any shape, float32.

    Returns:
        The same shape, the same numbers on every process.
    """
    return _sum_of_all(local).clamp(min=1) / comm.get_world_size()


def mean_of_all(local: Tensor) -> Tensor:
    """The mean over all processes, of any shape; the same numbers on every process."""
    return _sum_of_all(local) / comm.get_world_size()


def _sum_of_all(local: Tensor) -> Tensor:
    if comm.get_world_size() == 1:
        return local
    total = local.clone()
    dist.all_reduce(total)
    return total
