"""Stands for predictions where there are none, for the rules that read priors alone."""

from __future__ import annotations

from typing import NoReturn

import torch
from torch import Tensor

from ..structures import Priors

_KNOWN = {Tensor.shape.__get__, Tensor.device.__get__, Tensor.dtype.__get__}


class NeedsPredictions(Exception):
    """A rule looked at predictions that are not there."""


class UnreadPredictions:
    """Predictions of which only the shape is known; whoever reads a value is told so.

    They take the place of :class:`Predictions` in a call of an assigner.
    """

    def __init__(self, images: int, num_classes: int, priors: Priors):
        """
        Args:
            images: B.
            num_classes: K.
            priors: the R samples.
        """
        self._made_of = num_classes, priors
        zero = torch.zeros((), device=priors.points.device)
        self.logits = zero.expand(images, len(priors), num_classes).as_subclass(_Unread)
        self.boxes = zero.expand(images, len(priors), 4).as_subclass(_Unread)

    def detach(self) -> UnreadPredictions:
        """The same."""
        return self

    def float(self) -> UnreadPredictions:
        """The same."""
        return self

    def take(self, images: Tensor) -> UnreadPredictions:
        """See :meth:`Predictions.take`."""
        return UnreadPredictions(len(images), *self._made_of)

    def __getattr__(self, name: str) -> NoReturn:
        """Whether there are quality and anchors is not known either."""
        raise NeedsPredictions


class _Unread(Tensor):
    """A tensor that has a shape, a device and a type, and no values."""

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        if function not in _KNOWN:
            raise NeedsPredictions
        return super().__torch_function__(function, types, args, kwargs or {})
