"""What is compared: assigners by name, and a model at several moments."""

from __future__ import annotations

from collections.abc import Mapping

from detectron2.config import CfgNode
from detectron2.modeling import build_model

from ..checkpoint.checkpointer import Checkpointer
from ..criterion import Criterion, build_criterion, rule_names
from ..engine.config.files import merge_list
from ..errors import ConfigError, UserError, choose
from ..meta_arch import OneNet
from ..randomness import seed_all
from .positives import PositiveSamples, positive_samples, was_never_trained

UNTRAINED = "untrained"  # stands for a file of weights
_SECTION = "MODEL.OneNet"


def build_variant(cfg: CfgNode, text: str) -> Criterion:
    """Build the criterion of a config with another rule and perhaps other keys.

    Args:
        cfg: whatever the text does not say.
        text: ``NAME`` or ``NAME:KEY=VALUE,KEY=VALUE``, with keys below ``MODEL.OneNet``, such as
            ``MinCost:ASSIGNER.SOLVER=hungarian``.

    Raises:
        ConfigError: there is no such rule or key, or a value is wrong.
    """
    name, _, settings = text.partition(":")
    options = [f"{_SECTION}.ASSIGNER.NAME", name]
    for setting in filter(None, settings.split(",")):
        key, equals, value = setting.partition("=")
        if not equals:
            raise ConfigError(f'--assigners "{text}": "{setting}" must be KEY=VALUE.')
        options += [f"{_SECTION}.{key.strip()}", value.strip()]
    choose("--assigners", name, rule_names())
    variant = cfg.clone()
    variant.defrost()
    merge_list(variant, options)
    return build_criterion(variant)


def moments(weights: str | None, weights_before: str | None) -> dict[str, str]:
    """Titles of the moments that ``--weights`` and ``--weights-before`` ask for, and their weights.

    Raises:
        UserError: there is only a moment before.
    """
    if not weights:
        if weights_before:
            raise UserError("--weights-before needs --weights, what to compare it with.")
        return {UNTRAINED: UNTRAINED}
    if not weights_before:
        return {"": weights}
    return {"before training": weights_before, "after training": weights}


def load_moment(cfg: CfgNode, weights: str) -> OneNet:
    """Build the model with some weights, in evaluation mode.

    Args:
        cfg: of the model; its ``SEED`` decides the untrained weights.
        weights: a file, or :data:`UNTRAINED`: as it is before its first step, with the weights of
            ``MODEL.WEIGHTS``, of a backbone, if there are any.

    Raises:
        UserError: the weights are not there or of another model.
    """
    if cfg.MODEL.META_ARCHITECTURE != "OneNet":
        raise UserError(
            f'MODEL.META_ARCHITECTURE "{cfg.MODEL.META_ARCHITECTURE}" has no assigner to look at; '
            'set it to "OneNet"'
        )
    seed_all(max(cfg.SEED, 0))
    model = build_model(cfg)
    Checkpointer(model).load(cfg.MODEL.WEIGHTS if weights == UNTRAINED else weights)
    return model.eval()


def look_at(
    model: OneNet, scene: dict, criteria: Mapping[str, Criterion]
) -> dict[str, PositiveSamples]:
    """Assign the samples of one image by several rules, from the same predictions.

    A network that was never trained normalises by the statistics of the image. The rule that it
    was trained by has the parameters that it has learnt.

    Args:
        model: in evaluation mode.
        scene: Detectron2's standard format with ``image`` and ``instances``.
        criteria: at least one, by name.
    """
    fresh = was_never_trained(model)
    own = positive_samples(model, [scene], batch_statistics=fresh)
    inputs = own.priors, own.predictions, own.gt
    teach(model, criteria)
    return {
        name: own._replace(assignment=criterion.assign(*inputs))
        for name, criterion in criteria.items()
    }


def teach(model: OneNet, criteria: Mapping[str, Criterion]) -> None:
    """Give rules the device of a model, and the one that it was trained by what it has learnt."""
    for criterion in criteria.values():
        if type(criterion) is type(model.criterion):
            criterion.load_state_dict(model.criterion.state_dict(), strict=False)
        criterion.to(model.device)
