"""From a dataset dict to a training sample, with the official crop augmentation."""

from __future__ import annotations

from typing import Any

from detectron2.config import CfgNode, configurable
from detectron2.data import DatasetMapper, detection_utils
from detectron2.data import transforms as T
from detectron2.utils.file_io import PathManager
from PIL import Image

from ..errors import UserError
from .regions import as_instances, split_regions

CROP_PROBABILITY = 0.5
CROP_SHORT_EDGES = (400, 500, 600)  # as in DETR, from where the official recipe has it


class OneNetDatasetMapper(DatasetMapper):
    """Detectron2's mapper with the augmentations of the official recipe.

    Reads of ``INPUT``: the stock keys of size, flip and format, and ``CROP``. Where that is
    enabled, every other training image, at random, is resized and cropped first.

    With ``ignore_regions``, training samples have ``ignore_boxes`` (n, 4) float32, the boxes
    annotated as ``iscrowd``, in pixels of the sample; otherwise those are left out.
    """

    @configurable
    def __init__(self, is_train: bool, *, ignore_regions: bool = False, **arguments: Any):
        """
        Args:
            is_train: whether annotations are wanted.
            ignore_regions: whether to keep those of ignore regions.
            arguments: of the stock mapper.
        """
        super().__init__(is_train, **arguments)
        self.ignore_regions = is_train and ignore_regions
        self._verified: set[str] = (
            set()
        )  # by this process; an image is checked once, not each epoch

    @classmethod
    def from_config(cls, cfg: CfgNode, is_train: bool = True) -> dict[str, Any]:
        """Arguments of the stock mapper."""
        arguments = super().from_config(cfg, is_train)
        return {**arguments, "augmentations": build_augmentations(cfg, is_train)}

    def __call__(self, dataset_dict: dict[str, Any]) -> dict[str, Any]:
        """Map one image.

        Raises:
            UserError: the image is missing, cannot be decoded or has another size than annotated.
        """
        try:
            self._verify(dataset_dict["file_name"])
            if not self.ignore_regions:
                return super().__call__(dataset_dict)
            return split_regions(super().__call__(as_instances(dataset_dict)))
        except (OSError, SyntaxError, detection_utils.SizeMismatchError) as error:
            # SyntaxError is what Pillow calls a broken PNG chunk.
            raise UserError(
                f'cannot use the image "{dataset_dict["file_name"]}": {error} '
                "(restore the file, or remove it from the annotations)"
            ) from error

    def _verify(self, file_name: str) -> None:
        """Check the checksums of a PNG; other formats are only opened.

        Detectron2 looks for an orientation in the EXIF data first and ignores what goes wrong then.
        For that a PNG is decoded, and where this fails its pixels are black, without an error.
        """
        if file_name in self._verified:
            return
        with PathManager.open(file_name, "rb") as file:
            Image.open(file).verify()
        self._verified.add(file_name)


def build_augmentations(cfg: CfgNode, is_train: bool) -> list[T.Augmentation]:
    """The stock augmentations, preceded by the crop where ``INPUT.CROP.ENABLED`` says so."""
    augmentations = detection_utils.build_augmentation(cfg, is_train)
    if is_train and cfg.INPUT.CROP.ENABLED:
        crop = T.AugmentationList(
            [
                T.ResizeShortestEdge(CROP_SHORT_EDGES, sample_style="choice"),
                T.RandomCrop(cfg.INPUT.CROP.TYPE, cfg.INPUT.CROP.SIZE),
            ]
        )
        augmentations.insert(0, T.RandomApply(crop, prob=CROP_PROBABILITY))
    return augmentations
