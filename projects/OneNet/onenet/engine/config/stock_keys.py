"""Detectron2's keys that have no effect here: refused, or warned about, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from detectron2.config import CfgNode, get_cfg

from ...errors import ConfigError
from .files import flatten


class Rule(NamedTuple):
    """Keys, or sections of keys, that nothing reads.

    Attributes:
        keys: their names.
        why: what to say about them.
        where: whether this is so for a config; otherwise something reads them.
    """

    keys: tuple[str, ...]
    why: str
    where: Callable[[CfgNode], bool] = lambda cfg: True


def _is_onenet(cfg: CfgNode) -> bool:
    return cfg.MODEL.META_ARCHITECTURE == "OneNet"


# What is switched on by these keys changes a result, and would be missing from it.
REFUSED = (
    Rule(("MODEL.MASK_ON", "MODEL.KEYPOINT_ON"), "only boxes are learned here"),
    Rule(("MODEL.LOAD_PROPOSALS",), "no proposals are loaded here"),
    Rule(("TEST.AUG.ENABLED",), "there is no test-time augmentation (TTA) here"),
)

_OF_OTHERS = "PROPOSAL_GENERATOR RPN ROI_HEADS ROI_BOX_HEAD ROI_BOX_CASCADE_HEAD ROI_MASK_HEAD "
_OF_OTHERS += "ROI_KEYPOINT_HEAD SEM_SEG_HEAD PANOPTIC_FPN RETINANET"
_READ = ("MODEL.RETINANET.TOPK_CANDIDATES_TEST", "MODEL.RETINANET.NMS_THRESH_TEST")  # for NMS
_WITHOUT_FPN = ("build_resnet_backbone", "build_basic_resnet_backbone", "build_timm_backbone")
_BASIC_RESNETS = ("build_basic_resnet_backbone", "build_basic_resnet_fpn_backbone")
_OF_TIMM = ("build_timm_backbone", "build_timm_fpn_backbone")

UNREAD = (
    Rule(
        tuple(f"MODEL.{section}" for section in _OF_OTHERS.split()),
        "it belongs to other detectors; those of OneNet are MODEL.OneNet.*",
        _is_onenet,
    ),
    Rule(("VIS_PERIOD",), "tools/visualize_data.py draws training images", _is_onenet),
    Rule(
        ("MODEL.BACKBONE.FREEZE_AT",),
        "this backbone is trained whole",
        lambda cfg: cfg.MODEL.BACKBONE.NAME in _BASIC_RESNETS and cfg.MODEL.BACKBONE.FREEZE_AT > 0,
    ),
    Rule(
        ("MODEL.BACKBONE.FREEZE_AT",),
        "without MODEL.TIMM.WEIGHTS the backbone is trained whole",
        lambda cfg: (
            cfg.MODEL.BACKBONE.NAME in _OF_TIMM
            and not cfg.MODEL.TIMM.WEIGHTS
            and cfg.MODEL.BACKBONE.FREEZE_AT > 0
        ),
    ),
    Rule(("MODEL.FPN",), "there is no FPN", lambda cfg: cfg.MODEL.BACKBONE.NAME in _WITHOUT_FPN),
    Rule(("INPUT.MASK_FORMAT",), "masks are not read"),
    Rule(
        tuple(
            f"DATASETS.{kind}_{split}"
            for split in ("TRAIN", "TEST")
            for kind in ("PROPOSAL_FILES", "PRECOMPUTED_PROPOSAL_TOPK")
        ),
        "no proposals are loaded here",
    ),  # fmt: skip
    Rule(
        ("DATALOADER.REPEAT_THRESHOLD", "DATALOADER.REPEAT_SQRT"),
        "it is for DATALOADER.SAMPLER_TRAIN RepeatFactorTrainingSampler",
        lambda cfg: cfg.DATALOADER.SAMPLER_TRAIN != "RepeatFactorTrainingSampler",
    ),
    Rule(
        ("SOLVER.MOMENTUM", "SOLVER.NESTEROV"),
        "it is for SOLVER.OPTIMIZER SGD",
        lambda cfg: cfg.SOLVER.OPTIMIZER != "SGD",
    ),
    Rule(
        ("SOLVER.BASE_LR_END",),
        "it is for SOLVER.LR_SCHEDULER_NAME WarmupCosineLR",
        lambda cfg: cfg.SOLVER.LR_SCHEDULER_NAME != "WarmupCosineLR",
    ),
    Rule(
        ("SOLVER.CLIP_GRADIENTS.ENABLED",),
        "with a CLIP_VALUE that is not above 0, full_model clips nothing",
        lambda cfg: (
            cfg.SOLVER.CLIP_GRADIENTS.CLIP_TYPE == "full_model"
            and cfg.SOLVER.CLIP_GRADIENTS.CLIP_VALUE <= 0
        ),
    ),
    Rule(("TEST.KEYPOINT_OKS_SIGMAS",), "only boxes are evaluated here"),
)


def check_stock_keys(cfg: CfgNode) -> None:
    """Refuse to leave out what a key asks for.

    Raises:
        ConfigError: names the key.
    """
    for key, value, why in _without_effect(cfg, REFUSED):
        raise ConfigError(f"{key} {value}: {why}; set it to {dict(flatten(get_cfg()))[key]}")


def unread_keys(cfg: CfgNode) -> list[str]:
    """One sentence for each key that has another value than Detectron2's, and no effect."""
    return [
        f"{key} {value} has no effect: {why}." for key, value, why in _without_effect(cfg, UNREAD)
    ]


def _without_effect(cfg: CfgNode, rules: tuple[Rule, ...]) -> list[tuple]:
    """Key, value and reason of what was changed below the keys of the rules that hold."""
    stock, values = dict(flatten(get_cfg())), dict(flatten(cfg))
    return [
        (key, values[key], rule.why)
        for rule in rules
        if rule.where(cfg)
        for key in stock
        if f"{key}.".startswith(tuple(f"{name}." for name in rule.keys))
        and key not in _READ
        and values[key] != stock[key]
    ]
