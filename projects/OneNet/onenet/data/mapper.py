"""From a dataset dict to a training sample."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode, configurable
from detectron2.data import detection_utils
from detectron2.data import transforms as T
from detectron2.structures import Instances
from detectron2.utils.file_io import PathManager

from ..errors import UserError
from ..images import decode_image
from .augmentation import build_augmentations

logger = logging.getLogger(__name__)

BOX_KEYS = ("bbox", "bbox_mode", "category_id")


class OneNetDatasetMapper:
    """Maps a dataset dict of Detectron2 to a sample, augmented as ``INPUT`` asks for.

    Unlike Detectron2's mapper it reads images as the predictors do, and of annotations only the
    boxes. :func:`.augmentation.build_augmentations` tells the keys of ``INPUT`` and their order.

    With ``ignore_regions``, training samples have ``ignore_boxes`` (n, 4) float32, the boxes
    annotated as ``iscrowd``, in pixels of the sample; otherwise those are left out.
    """

    @configurable
    def __init__(
        self,
        is_train: bool,
        *,
        augmentations: list[T.Augmentation],
        image_format: str,
        ignore_regions: bool = False,
    ):
        """
        Args:
            is_train: whether annotations are wanted.
            augmentations: of the image and its boxes, in order.
            image_format: ``INPUT.FORMAT``.
            ignore_regions: whether to keep those of ignore regions.
        """
        self.is_train = is_train
        self.augmentations = T.AugmentationList(augmentations)
        self.image_format = image_format
        self.ignore_regions = ignore_regions
        purpose = "training" if is_train else "inference"
        logger.info("Augmentations used in %s: %s", purpose, augmentations)

    @classmethod
    def from_config(cls, cfg: CfgNode, is_train: bool = True) -> dict[str, Any]:
        """Arguments from ``INPUT``."""
        return {
            "is_train": is_train,
            "augmentations": build_augmentations(cfg, is_train),
            "image_format": cfg.INPUT.FORMAT,
        }

    def __call__(self, dataset_dict: dict[str, Any]) -> dict[str, Any]:
        """Map one image.

        Raises:
            UserError: the image is missing, cannot be decoded or has another size than annotated.
        """
        sample = dict(dataset_dict)
        annotations = sample.pop("annotations", None)
        augmented = T.AugInput(self._read(sample))
        transforms = self.augmentations(augmented)
        size = augmented.image.shape[:2]
        sample["image"] = torch.from_numpy(np.ascontiguousarray(augmented.image.transpose(2, 0, 1)))
        if not self.is_train or annotations is None:
            return sample
        objects = [one for one in annotations if not one.get("iscrowd")]
        sample["instances"] = to_instances(objects, transforms, size)
        if self.ignore_regions:
            regions = [one for one in annotations if one.get("iscrowd")]
            sample["ignore_boxes"] = to_instances(regions, transforms, size).gt_boxes.tensor
        return sample

    def _read(self, record: dict[str, Any]) -> np.ndarray:
        """The image (H, W, C) in ``image_format``; completes the record by its size."""
        file_name = record["file_name"]
        try:
            with PathManager.open(file_name, "rb") as file:
                image = decode_image(file.read())
            pixels = detection_utils.convert_PIL_to_numpy(image, self.image_format)
            detection_utils.check_image_size(record, pixels)
        except (OSError, UserError, detection_utils.SizeMismatchError) as error:
            raise UserError(
                f'cannot use the image "{file_name}": {error} '
                "(restore the file, or remove it from the annotations)"
            ) from error
        return pixels


def to_instances(
    annotations: list[dict[str, Any]], transforms: T.TransformList, size: tuple[int, int]
) -> Instances:
    """Boxes and classes after the transforms, in an image of ``size`` (h, w); no empty boxes."""
    transformed = [
        detection_utils.transform_instance_annotations(
            {key: one[key] for key in BOX_KEYS}, transforms, size
        )
        for one in annotations
    ]
    return detection_utils.filter_empty_instances(
        detection_utils.annotations_to_instances(transformed, size)
    )
