"""From a config to the criterion of each branch."""

from __future__ import annotations

from collections.abc import Sequence

from detectron2.config import CfgNode
from torch import nn

from ..assignment import ASSIGNER_REGISTRY
from ..errors import ConfigError, choose
from ..structures import AUX, MAIN
from .criterion import Criterion
from .learned import CRITERION_REGISTRY
from .normalizer import Normalizer
from .selection import SelectorCriterion
from .subsamplers import ALL_SAMPLES

CORNERS = "CornerNet"  # the head, and the one rule for it


def build_criteria(cfg: CfgNode, branches: Sequence[str]) -> nn.ModuleDict:
    """Build the criterion of each branch of a head; branches without one of their own share.

    Raises:
        ConfigError: an unknown name or key, also in ``OPTS`` of a branch.
    """
    onenet, normalizer = cfg.MODEL.OneNet, Normalizer()
    criterion = build_criterion(cfg, normalizer)
    criteria = dict.fromkeys(branches, criterion)
    if onenet.SELECTOR.ENABLED:
        _check_selector(cfg)
        own = branch_config(cfg, "SELECTOR")
        criteria[MAIN] = SelectorCriterion(own, normalizer, onenet.SELECTOR.WEIGHT)
    if onenet.AUX.ASSIGNER:
        own = branch_config(cfg, "AUX")
        criteria[AUX] = build_criterion(own, normalizer, onenet.AUX.WEIGHT)
    return nn.ModuleDict(criteria)


def build_criterion(
    cfg: CfgNode, normalizer: Normalizer | None = None, weight: Sequence[float] = (1.0, 1.0)
) -> Criterion:
    """Build what ``MODEL.OneNet.ASSIGNER.NAME`` selects: an assigner with the losses of the config,
    or a criterion with losses of its own.

    Args:
        cfg: the config.
        normalizer, weight: see :class:`Criterion`.

    Raises:
        ConfigError: there is neither an assigner nor a criterion of that name, or samples are to be
            taken out of what a criterion decides, or the head predicts something else.
    """
    name = choose("MODEL.OneNet.ASSIGNER.NAME", cfg.MODEL.OneNet.ASSIGNER.NAME, rule_names())
    _check_head(name, cfg.MODEL.OneNet.HEAD)
    criterion = dict(CRITERION_REGISTRY).get(name, Criterion)
    subsampler = cfg.MODEL.OneNet.SUBSAMPLER.NAME
    if criterion is not Criterion and subsampler != ALL_SAMPLES:
        raise ConfigError(
            f'MODEL.OneNet.SUBSAMPLER.NAME "{subsampler}" is for rules that call samples positive '
            f'or negative, and "{name}" weighs them by losses of its own: set it to '
            f'"{ALL_SAMPLES}".'
        )
    return criterion(cfg, normalizer=normalizer, weight=weight)


def rule_names() -> list[str]:
    """What ``MODEL.OneNet.ASSIGNER.NAME`` may be."""
    return [*dict(ASSIGNER_REGISTRY), *dict(CRITERION_REGISTRY)]


def _check_head(rule: str, head: str) -> None:
    """Refuse a rule for boxes where a head predicts corners; the reverse is the rule's to refuse.

    Raises:
        ConfigError: that is so.
    """
    if head == CORNERS != rule:
        raise ConfigError(
            f'The rule "{rule}" is for heads that predict a box at each sample, and '
            f'MODEL.OneNet.HEAD "{head}" predicts corners: set MODEL.OneNet.ASSIGNER.NAME '
            f"{CORNERS} and no AUX.ASSIGNER, or choose another HEAD."
        )


def _check_selector(cfg: CfgNode) -> None:
    """Refuse a rule that cannot say which one sample keeps its score.

    Raises:
        ConfigError: it has losses of its own.
    """
    name = cfg.MODEL.OneNet.SELECTOR.ASSIGNER
    if name in dict(CRITERION_REGISTRY):
        raise ConfigError(
            f'MODEL.OneNet.SELECTOR.ASSIGNER "{name}" has losses of its own and is not one-to-one; '
            'use "BestScore", "MinCost" or "POTO". It can be MODEL.OneNet.ASSIGNER.NAME beside the '
            "selector."
        )


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
