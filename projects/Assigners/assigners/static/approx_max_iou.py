"""Assignment by the largest overlap with any box that a location stands for."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from detectron2.config import configurable
from onenet import ASSIGNER_REGISTRY, GroundTruth, Priors
from onenet.assignment.overlaps import PairwiseIoU
from onenet.errors import ConfigError
from onenet.geometry import box_centers
from torch import Tensor

from ..settings import rule_settings
from .max_iou import MaxIoU


@ASSIGNER_REGISTRY.register()
class ApproxMaxIoU(MaxIoU):
    """:class:`MaxIoU` where the IoU of a sample is the largest of several boxes around it.

    They are the prior box in all ``scales`` and ``ratios``, of the same centre: what a head that
    predicts the shape of its anchors might make of it. Source: Guided Anchoring (Wang et al.,
    CVPR 2019), section 3.2, as mmdetection's ``ApproxMaxIoUAssigner``.
    """

    section = "APPROX_MAX_IOU"

    @configurable
    def __init__(
        self,
        *,
        scales: Sequence[float] = (1.0, 2 ** (1 / 3), 2 ** (2 / 3)),
        ratios: Sequence[float] = (0.5, 1.0, 2.0),
        pos_iou: float = 0.5,
        neg_iou: float = 0.4,
        low_quality: bool = True,
        min_pos_iou: float = 0.4,
        all_ties: bool = True,
        max_pairs: int = 0,
    ):
        """
        Args:
            scales: sides of the boxes in sides of the prior box.
            ratios: of height and width.
            pos_iou, neg_iou, low_quality, min_pos_iou, all_ties, max_pairs: as for
                :class:`MaxIoU`.

        Raises:
            ConfigError: a value out of its range.
        """
        super().__init__(
            pos_iou=pos_iou,
            neg_iou=neg_iou,
            low_quality=low_quality,
            min_pos_iou=min_pos_iou,
            all_ties=all_ties,
            max_pairs=max_pairs,
        )
        for name, values in {"SCALES": scales, "RATIOS": ratios}.items():
            if not values or min(values) <= 0:
                raise ConfigError(
                    f"MODEL.OneNet.ASSIGNER.{self.section}.{name} must be positive numbers, "
                    f"got {list(values)}."
                )
        sizes = [(s / r**0.5, s * r**0.5) for s in scales for r in ratios]
        self.register_buffer("sizes", torch.tensor(sizes), persistent=False)

    @classmethod
    def from_config(cls, cfg):
        generator = cfg.MODEL.ANCHOR_GENERATOR
        anchors = len(generator.SIZES[0]) * len(generator.ASPECT_RATIOS[0])
        if cfg.MODEL.OneNet.HEAD == "RetinaNet" and anchors > 1:
            raise ConfigError(
                f"{cfg.MODEL.OneNet.ASSIGNER.NAME} is for one prior box a location that stands for "
                f'several shapes, and the "RetinaNet" head has {anchors} that are anchors of their '
                "own: set MODEL.OneNet.ASSIGNER.NAME MaxIoU, or MODEL.OneNet.HEAD FCOS."
            )
        return rule_settings(cfg, cls.section)

    def overlaps(self, priors: Priors, gt: GroundTruth) -> PairwiseIoU:
        centers = box_centers(priors.boxes)
        half = (priors.boxes[:, 2:] - priors.boxes[:, :2]) * self.sizes[:, None] / 2
        shapes = torch.cat([centers - half, centers + half], dim=-1)
        return LargestIoU(shapes, gt, self.max_pairs)


class LargestIoU(PairwiseIoU):
    """The same of the shape of each prior box that has the largest IoU."""

    values_per_pair = PairwiseIoU.values_per_pair + 1

    def __init__(self, boxes: Tensor, gt: GroundTruth, max_pairs: int):
        """Prepare the boxes.

        Args:
            boxes: (S, R, 4), S shapes of R prior boxes.
            gt, max_pairs: as for :class:`PairwiseIoU`.
        """
        super().__init__(boxes[0], gt, max_pairs)
        self.shapes = [PairwiseIoU(shape, gt, max_pairs) for shape in boxes]

    def piece(self, part: slice, memory: Tensor) -> tuple[Tensor, Tensor]:
        largest, rest = memory[0].zero_(), memory[1:]
        for shape in self.shapes:
            iou, _ = shape.piece(part, rest)
            torch.maximum(largest, iou, out=largest)
        return largest, rest[0]
