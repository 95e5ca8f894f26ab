"""What an exported model says about itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import UserError

FORMAT_KEY = "onenet_format"  # that a file has it marks it as one of this project
FORMAT = 1
CHANNEL_ORDERS = ("BGR", "RGB")


@dataclass(frozen=True)
class ModelCard:
    """How to feed a model and how to read what it says.

    Attributes:
        class_names: by class id.
        channel_order: "BGR" or "RGB", of the images that the network takes.
        shorter_side, longest_side: sizes for testing, see :func:`.images.network_size`; pixels.
        score_threshold: detections of a lower score are left out.
        config_sha256: of the config that the model was built from.
    """

    class_names: tuple[str, ...]
    channel_order: str = "RGB"
    shorter_side: int = 0
    longest_side: int = 0
    score_threshold: float = 0.0
    config_sha256: str = ""

    def to_properties(self) -> dict[str, str]:
        """As the key-value pairs that model files can hold."""
        return {
            FORMAT_KEY: str(FORMAT),
            "class_names": json.dumps(self.class_names, ensure_ascii=False),
            "channel_order": self.channel_order,
            "shorter_side": str(self.shorter_side),
            "longest_side": str(self.longest_side),
            "score_threshold": repr(self.score_threshold),
            "config_sha256": self.config_sha256,
        }

    @classmethod
    def from_properties(cls, properties: Mapping[str, str], source: str) -> ModelCard:
        """Read the pairs of a model file.

        Args:
            properties: of the file.
            source: what to call it in a message.

        Raises:
            UserError: the file is none of this project, or one of a later version of it.
        """
        if FORMAT_KEY not in properties:
            raise UserError(
                f"{source}: not a model of this project; write one with tools/export_onnx.py"
            )
        if properties[FORMAT_KEY] != str(FORMAT):
            raise UserError(
                f"{source}: of format {properties[FORMAT_KEY]}, but this version reads {FORMAT}; "
                "export it again"
            )
        try:
            card = cls(
                class_names=tuple(json.loads(properties["class_names"])),
                channel_order=properties["channel_order"],
                shorter_side=int(properties["shorter_side"]),
                longest_side=int(properties["longest_side"]),
                score_threshold=float(properties["score_threshold"]),
                config_sha256=properties["config_sha256"],
            )
        except (KeyError, ValueError) as error:
            raise UserError(
                f"{source}: its metadata is damaged ({error}); export it again"
            ) from None
        if card.channel_order not in CHANNEL_ORDERS:
            raise UserError(f'{source}: unknown channel order "{card.channel_order}"')
        return card
