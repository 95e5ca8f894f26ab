"""From a config to the criterion of each branch."""

from __future__ import annotations

from collections.abc import Sequence

from detectron2.config import CfgNode
from torch import nn

from ..errors import ConfigError
from ..structures import AUX, MAIN
from .criterion import Criterion
from .normalizer import Normalizer
from .selection import SelectorCriterion


def build_criteria(cfg: CfgNode, branches: Sequence[str]) -> nn.ModuleDict:
    """Build the criterion of each branch of a head; branches without one of their own share.

    Raises:
        ConfigError: an unknown name or key, also in ``OPTS`` of a branch.
    """
    onenet, normalizer = cfg.MODEL.OneNet, Normalizer()
    criterion = Criterion(cfg, normalizer)
    criteria = dict.fromkeys(branches, criterion)
    if onenet.SELECTOR.ENABLED:
        own = branch_config(cfg, "SELECTOR")
        criteria[MAIN] = SelectorCriterion(own, normalizer, onenet.SELECTOR.WEIGHT)
    if onenet.AUX.ASSIGNER:
        own = branch_config(cfg, "AUX")
        criteria[AUX] = Criterion(own, normalizer, weight=onenet.AUX.WEIGHT)
    return nn.ModuleDict(criteria)


def branch_config(cfg: CfgNode, branch: str) -> CfgNode:
    """The config as a branch sees it: with its own assigner and ``OPTS``.

    Raises:
        ConfigError: a key or value in ``OPTS`` does not fit.
    """
    own = cfg.MODEL.OneNet[branch]
    name, opts = f"MODEL.OneNet.{branch}.OPTS", [str(opt) for opt in own.OPTS]
    changed = cfg.clone()
    changed.defrost()
    changed.MODEL.OneNet.ASSIGNER.NAME = own.ASSIGNER
    try:
        changed.MODEL.OneNet.merge_from_list(opts)
    except (AssertionError, KeyError, ValueError) as error:
        raise ConfigError(
            f"{name} {opts} must be keys below MODEL.OneNet with their values: {error}"
        ) from None
    return changed
