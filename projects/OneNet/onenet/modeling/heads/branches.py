"""What a head may predict beside its main branch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from detectron2.config import CfgNode
from torch import nn

from ...errors import ConfigError
from ...structures import AUX, DENSE
from .selector import Selector


@dataclass(frozen=True)
class BranchOptions:
    """Branches of a head beside the main one.

    Attributes:
        selector: multiplies the class scores of the main branch by a score that is trained
            one-to-one.
        frozen: the selector is trained alone, after everything else.
        auxiliary: a head of its own on the shared features, for training.
        detach: no gradient of the main branch reaches the shared features.
        test_auxiliary: inference uses the auxiliary branch instead of the main one.
    """

    selector: Selector | None = None
    frozen: bool = False
    auxiliary: nn.Module | None = None
    detach: bool = False
    test_auxiliary: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Of the further branches in training."""
        dense = (DENSE,) if self.selector is not None and not self.frozen else ()
        return (*dense, *((AUX,) if self.auxiliary is not None else ()))


def branch_options(
    cfg: CfgNode, channels: int, num_anchors: int, build_auxiliary: Callable[[int], nn.Module]
) -> BranchOptions:
    """Build the branches of ``MODEL.OneNet.SELECTOR`` and ``MODEL.OneNet.AUX``.

    Args:
        cfg: the config.
        channels: of the feature maps that the box layer sees.
        num_anchors: samples a location.
        build_auxiliary: makes a head with this many convolutions in its towers.

    Raises:
        ConfigError: both at once.
    """
    selector, aux = cfg.MODEL.OneNet.SELECTOR, cfg.MODEL.OneNet.AUX
    if selector.ENABLED and aux.ASSIGNER:
        raise ConfigError(
            "MODEL.OneNet.SELECTOR.ENABLED and MODEL.OneNet.AUX.ASSIGNER exclude each other: with "
            "a selector, classes and boxes learn from MODEL.OneNet.ASSIGNER.NAME already."
        )
    if cfg.MODEL.OneNet.NUM_STAGES > 1 and (selector.ENABLED or aux.ASSIGNER):
        raise ConfigError(
            "MODEL.OneNet.NUM_STAGES must be 1 with MODEL.OneNet.SELECTOR or MODEL.OneNet.AUX."
        )
    own = Selector(channels, num_anchors, selector.MAX_FILTERING) if selector.ENABLED else None
    return BranchOptions(
        selector=own,
        frozen=selector.FREEZE,
        auxiliary=build_auxiliary(aux.NUM_CONV) if aux.ASSIGNER else None,
        detach=aux.DETACH,
        test_auxiliary=aux.TEST,
    )
