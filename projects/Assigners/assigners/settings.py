"""Settings that a rule is published with, by one name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from detectron2.config import CfgNode
from onenet.errors import choose


def preset_settings(
    node: CfgNode, name: str, presets: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """The settings of ``node.PRESET``, with those of the other keys that are not None.

    Args:
        node: the keys of a rule.
        name: of the node below ``MODEL.OneNet.ASSIGNER``.
        presets: settings by the name of the preset; the key of a setting is its name in capitals.

    Raises:
        ConfigError: there is no such preset.
    """
    preset = choose(f"MODEL.OneNet.ASSIGNER.{name}.PRESET", node.PRESET, presets)
    own = {key.lower(): value for key, value in node.items() if value is not None}
    del own["preset"]
    return {**presets[preset], **own}
