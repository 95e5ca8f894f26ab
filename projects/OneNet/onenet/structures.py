"""The types that heads, assigners and losses exchange.

Letters used throughout the project: B images, R samples (locations or anchors, all levels
concatenated), G padded ground truths, K classes, P pair slots. Boxes are absolute pixels
(x1, y1, x2, y2), float32, in the padded network input. Every shape is static for a batch, so
nothing downstream has to ask the device how many objects there are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from detectron2.structures import Instances
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from .scores import joint_logit

T = TypeVar("T")

NEGATIVE = -1
IGNORED = -2

# Branches of predictions.
MAIN = "main"  # what inference uses
DENSE = "dense"  # beside a selector: classes and boxes, which learn from many samples of an object
AUX = "aux"  # teaches the shared features, and is not there in inference


@dataclass(frozen=True)
class Priors:
    """What a head knows about its samples before it has seen an image.

    Attributes:
        boxes: (R, 4) float32, the prior box that IoU rules compare with the ground truth;
            (B, R, 4) where those of each image are told by the network, see :class:`GuidedAnchors`.
        points: (R, 2) float32, sample centres (x, y) in pixels.
        stride: (R,) float32, stride of the sample's level in pixels.
        level: (R,) int64, index of the sample's level, finest first.
        level_sizes: number of samples of each level; sums to R.
        shapes: height and width of each level's grid in cells; None where the samples form none.
        anchors: consecutive samples that share a location (and so a point).
    """

    boxes: Tensor
    points: Tensor
    stride: Tensor
    level: Tensor
    level_sizes: tuple[int, ...]
    shapes: tuple[tuple[int, int], ...] | None = None
    anchors: int = 1

    def __len__(self) -> int:
        return self.points.shape[0]


@dataclass(frozen=True)
class GuidedAnchors:
    """Prior boxes that a head predicts from the image.

    Attributes:
        location: (B, R) logit of an object's middle being there.
        boxes: (B, R, 4) pixels, with the centres of the head's own prior boxes.
    """

    location: Tensor
    boxes: Tensor


@dataclass(frozen=True)
class Predictions:
    """Raw outputs of a head for a batch, in whatever memory layout the convolution left them.

    Attributes:
        logits: (B, R, K) class logits before the sigmoid.
        boxes: (B, R, 4) decoded boxes, pixels.
        quality: (B, R) centerness or objectness logit, None where the head has no such branch.
        anchors: from which the boxes were predicted, None where these are the priors.
    """

    logits: Tensor
    boxes: Tensor
    quality: Tensor | None = None
    anchors: GuidedAnchors | None = None

    def float(self) -> Predictions:
        """The same predictions in float32, detached from nothing; a no-op without AMP."""
        return _map_tensors(self, Tensor.float)

    def joint(self) -> Predictions:
        """The same scores as class logits alone: those of sigmoid(class) * sigmoid(quality)."""
        if self.quality is None:
            return self
        joint = joint_logit(self.logits, self.quality[..., None])
        return replace(self, logits=joint, quality=None)

    def detach(self) -> Predictions:
        """The same predictions outside of the autograd graph."""
        return _map_tensors(self, Tensor.detach)

    def take(self, images: Tensor) -> Predictions:
        """The predictions of images (n,) int64 of the batch, as often as they are named."""
        return _map_tensors(self, lambda x: x[images])


@dataclass(frozen=True, kw_only=True)
class CornerPredictions(Predictions):
    """Raw outputs of a head that finds boxes by their corners.

    The first half of the samples are the cells of the map of top-left corners, the second half
    those of the map of bottom-right corners. ``boxes`` are the cells' squares around the corners
    that are predicted.

    Attributes:
        offset: (B, R, 2) x, y from the upper left of a cell to the corner in it, in cells.
        embedding: (B, R), alike for the two corners of an object.
    """

    offset: Tensor
    embedding: Tensor


def _map_tensors(values: T, function: Callable[[Tensor], Tensor]) -> T:
    """The same structure with a function of each of its tensors."""
    if values is None:
        return None
    if isinstance(values, Tensor):
        return function(values)
    changed = {name: _map_tensors(value, function) for name, value in vars(values).items()}
    return replace(values, **changed)


@dataclass(frozen=True)
class GroundTruth:
    """The annotated objects of a batch, padded to the longest image.

    Attributes:
        boxes: (B, G, 4) float32, pixels; zeros in padded slots.
        labels: (B, G) int64, 0-based classes; 0 in padded slots.
        valid: (B, G) bool, False in padded slots.
        image_size: (B, 2) float32, (height, width) of each image before padding, in pixels.
        ignore_boxes: (B, N, 4) float32, regions of which nobody knows what is in them, padded with
            zeros; None where no image has any. Assigners have nothing to do with them.
    """

    boxes: Tensor
    labels: Tensor
    valid: Tensor
    image_size: Tensor
    ignore_boxes: Tensor | None = None

    @classmethod
    def from_instances(
        cls, instances: list[Instances], ignore_boxes: Sequence[Tensor] = ()
    ) -> GroundTruth:
        """Pad the ``gt_boxes`` and ``gt_classes`` of B images to G = max(1, longest image).

        Args:
            instances: of each image.
            ignore_boxes: (n, 4) of each image, or nothing at all.
        """
        boxes = [x.gt_boxes.tensor.float() for x in instances]
        labels = [x.gt_classes for x in instances]
        # One empty row more than any image needs keeps G >= 1 where no image has an object.
        slots = max(1, *(len(x) for x in labels)) if labels else 1
        filler = boxes[0].new_zeros(slots, 4), labels[0].new_zeros(slots)
        device = filler[0].device
        counts = torch.tensor([len(x) for x in labels], device=device)
        sizes = torch.tensor([x.image_size for x in instances], dtype=torch.float32, device=device)
        return cls(
            boxes=pad_sequence([*boxes, filler[0]], batch_first=True)[:-1],
            labels=pad_sequence([*labels, filler[1]], batch_first=True)[:-1],
            valid=torch.arange(slots, device=device) < counts[:, None],
            image_size=sizes,
            ignore_boxes=_pad_regions(ignore_boxes),
        )

    def to(self, device: torch.device) -> GroundTruth:
        """The same on another device; a GPU takes it while it computes (from pinned memory)."""
        values = {name: value for name, value in vars(self).items() if value is not None}
        if device.type == "cuda":
            values = {k: v if v.is_cuda else v.pin_memory() for k, v in values.items()}
        return GroundTruth(**{k: v.to(device, non_blocking=True) for k, v in values.items()})

    @property
    def scale(self) -> Tensor:
        """(B, 1, 4) width, height, width, height of each unpadded image, in pixels."""
        return self.image_size.flip(-1).repeat(1, 2)[:, None]


def _pad_regions(regions: Sequence[Tensor]) -> Tensor | None:
    if not any(len(boxes) for boxes in regions):
        return None
    return pad_sequence([boxes.float() for boxes in regions], batch_first=True)


@dataclass(frozen=True)
class Assignment:
    """Which samples are positive for which ground truths, and how the rest is weighted.

    One-to-one rules have one slot a ground truth (P = G); dense many-to-one rules one slot a
    sample (P = R, ``sample`` = 0 .. R-1). A sample may serve several ground truths.

    Attributes:
        sample: (B, P) int64, index into the R samples.
        gt: (B, P) int64, index into the G ground truths.
        weight: (B, P) float32 >= 0; 0 marks an unused slot.
        score: (B, P) float32, classification target of the pair; 1 is a hard label.
        cls_weight: (B, R, 1) or (B, R, K) factor of the elementwise class loss, 0 = ignored;
            None = 1 everywhere.
        normalizer: () what this process adds to the denominator of every loss; None = its
            number of valid ground truths. It is summed over all processes.
        num_samples: R. None is allowed where P = R or ``cls_weight`` is given.
    """

    sample: Tensor
    gt: Tensor
    weight: Tensor
    score: Tensor
    cls_weight: Tensor | None = None
    normalizer: Tensor | None = None
    num_samples: int | None = None

    @property
    def positive(self) -> Tensor:
        """(B, P) bool, the slots in use."""
        return self.weight > 0

    def positive_samples(self) -> Tensor:
        """(B, R) bool, the samples with a slot in use."""
        used = self.positive.new_zeros(len(self.sample), self._num_samples(), dtype=torch.int64)
        return used.scatter_reduce(1, self.sample, self.positive.long(), "amax") > 0

    def keep(self, samples: Tensor) -> Assignment:
        """The assignment of some samples; the others take no part, not even as negatives.

        Args:
            samples: (B, R) bool, the ones to keep.
        """
        weight = self.weight * samples.gather(1, self.sample)
        kept = samples[..., None].float()
        cls_weight = kept if self.cls_weight is None else self.cls_weight * kept
        return replace(self, weight=weight, cls_weight=cls_weight)

    def dense_gt(self) -> Tensor:
        """The assignment as a label map.

        Returns:
            (B, R) int64: index of the ground truth that the sample is positive for (the lowest,
            where there are several), -1 negative, -2 ignored.
        """
        num_samples = self._num_samples()
        unassigned = torch.iinfo(torch.int64).max
        gt = self.gt.masked_fill(~self.positive, unassigned)
        dense = gt.new_full((gt.shape[0], num_samples), unassigned)
        dense = dense.scatter_reduce(1, self.sample, gt, "amin")
        background = torch.full_like(dense, NEGATIVE)
        if self.cls_weight is not None:
            ignored = (self.cls_weight == 0).all(dim=-1)
            background = background.masked_fill(ignored, IGNORED)
        return torch.where(dense == unassigned, background, dense)

    def _num_samples(self) -> int:
        if self.num_samples is not None:
            return self.num_samples
        return self.sample.shape[1] if self.cls_weight is None else self.cls_weight.shape[1]
