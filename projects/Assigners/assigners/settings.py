"""What the constructor of a rule is given, from the keys of its section."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from detectron2.config import CfgNode
from onenet.errors import choose

Presets = Mapping[str, Mapping[str, Any]]  # settings by the name of the preset


def rule_settings(cfg: CfgNode, section: str, presets: Presets | None = None) -> dict[str, Any]:
    """The constructor's arguments by name: the keys of a rule in lower case, and ``max_pairs``.

    Keys that are None are left out.

    Args:
        cfg: the config.
        section: of the rule, below ``MODEL.OneNet.ASSIGNER``.
        presets: what the key ``PRESET`` of the section selects, if it has one; its other keys
            override that.

    Raises:
        ConfigError: there is no such preset.
    """
    assigner = cfg.MODEL.OneNet.ASSIGNER
    settings = {key.lower(): x for key, x in assigner[section].items() if x is not None}
    if presets is not None:
        key = f"MODEL.OneNet.ASSIGNER.{section}.PRESET"
        settings = {**presets[choose(key, settings.pop("preset"), presets)], **settings}
    return {**settings, "max_pairs": assigner.MAX_PAIRS}
