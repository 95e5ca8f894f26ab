"""What a config does to training images before the network sees them, all by Detectron2."""

from __future__ import annotations

from typing import Any

from detectron2.config import CfgNode
from detectron2.data import detection_utils
from detectron2.data import transforms as T

from ..errors import ConfigError, choose

CROP_PROBABILITY = 0.5
CROP_SHORT_EDGES = (400, 500, 600)  # as in DETR, from where the official recipe has it
FLIPS = ("none", "horizontal", "vertical", "both")
QUARTER_TURNS = [0, 90, 180, 270]  # degrees


def build_augmentations(cfg: CfgNode, is_train: bool) -> list[T.Augmentation]:
    """The augmentations that ``INPUT`` asks for, in order.

    Images for evaluation are resized, and no more. For training: ``CROP`` of every other image,
    ``RANDOM_SCALE``, the resizing of the stock keys, ``RANDOM_FLIP``, ``RANDOM_TURN`` and
    ``RANDOM_COLOR``.

    Raises:
        ConfigError: see :func:`check_augmentation`.
    """
    if not is_train:
        return detection_utils.build_augmentation(cfg, is_train)
    check_augmentation(cfg)
    keys = cfg.INPUT
    augmentations = [
        T.ResizeShortestEdge(
            keys.MIN_SIZE_TRAIN, keys.MAX_SIZE_TRAIN, keys.MIN_SIZE_TRAIN_SAMPLING
        ),
        *_flips(keys.RANDOM_FLIP),
    ]
    if keys.RANDOM_TURN:
        augmentations.append(T.RandomRotation(QUARTER_TURNS, sample_style="choice"))
    if keys.RANDOM_COLOR:
        factors = (1 - keys.RANDOM_COLOR, 1 + keys.RANDOM_COLOR)
        # In images of format BGR, red and blue change places in what saturation calls grey.
        changes = (T.RandomBrightness, T.RandomContrast, T.RandomSaturation)
        augmentations += [change(*factors) for change in changes]
    if tuple(keys.RANDOM_SCALE) != (1, 1):
        augmentations.insert(0, RandomScale(*keys.RANDOM_SCALE))
    if keys.CROP.ENABLED:
        augmentations.insert(0, _random_crop(keys.CROP))
    return augmentations


def check_augmentation(cfg: CfgNode) -> None:
    """Check the keys of :func:`build_augmentations` that are not Detectron2's alone.

    Raises:
        ConfigError: a name is unknown, or a number out of range.
    """
    keys = cfg.INPUT
    choose("INPUT.RANDOM_FLIP", keys.RANDOM_FLIP, FLIPS)
    if not 0 <= keys.RANDOM_COLOR < 1:
        raise ConfigError(
            f"INPUT.RANDOM_COLOR must be from 0 (none) to below 1, got {keys.RANDOM_COLOR}."
        )
    if keys.RANDOM_COLOR and len(cfg.MODEL.PIXEL_MEAN) != 3:
        raise ConfigError(
            f"INPUT.RANDOM_COLOR {keys.RANDOM_COLOR} is for images of three channels, and "
            f"MODEL.PIXEL_MEAN has {len(cfg.MODEL.PIXEL_MEAN)}; set it to 0."
        )
    scale = list(keys.RANDOM_SCALE)
    if len(scale) != 2 or not 0 < scale[0] <= scale[1]:
        raise ConfigError(
            "INPUT.RANDOM_SCALE must be the smallest and the largest factor, such as [0.8, 1.25], "
            f"got {scale}."
        )


class RandomScale(T.Augmentation):
    """Scales what is in an image, which keeps its size.

    An image that grew is cropped at a random place; one that shrank is at the upper left of grey.
    """

    def __init__(self, smallest: float, largest: float):
        super().__init__()
        self._init(locals())

    def __call__(self, augmented: T.AugInput) -> Any:
        size = augmented.image.shape[:2]
        return T.AugmentationList(
            [
                T.ResizeScale(self.smallest, self.largest, *size),
                T.RandomCrop("absolute", size),
                T.FixedSizeCrop(size),  # its own crop would be on the diagonal only
            ]
        )(augmented)


def _flips(name: str) -> list[T.Augmentation]:
    """Each with probability 1/2, independent of the other."""
    ways = {"none": (), "both": ("horizontal", "vertical")}.get(name, (name,))
    return [T.RandomFlip(horizontal=w == "horizontal", vertical=w == "vertical") for w in ways]


def _random_crop(crop: CfgNode) -> T.Augmentation:
    both = T.AugmentationList(
        [
            T.ResizeShortestEdge(CROP_SHORT_EDGES, sample_style="choice"),
            T.RandomCrop(crop.TYPE, crop.SIZE),
        ]
    )
    return T.RandomApply(both, prob=CROP_PROBABILITY)
