"""The whole detector as one function of tensors, to be exported."""

from __future__ import annotations

import copy

import torch
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from detectron2.structures import Boxes
from torch import Tensor, nn
from torchvision.ops import clip_boxes_to_image

from ..compat import padding_multiple
from ..geometry import grid_points
from ..inference import top_detections
from ..meta_arch import MIN_SIZE_DIVISIBILITY, OneNet
from ..structures import Predictions


class DetectionGraph(nn.Module):
    """Images in, detections out: normalisation, padding, network, top-k and clipping.

    It computes what :class:`OneNet` computes in evaluation, but takes images of one size as a
    tensor and has no data-dependent shapes. All sizes may be symbols.
    """

    def __init__(self, model: OneNet):
        """
        Args:
            model: with its weights; it is copied.
        """
        super().__init__()
        self.model = copy.deepcopy(model).cpu().eval().requires_grad_(False)
        for module in self.model.modules():
            for name, child in module.named_children():
                if type(child) is DefaultAnchorGenerator:
                    setattr(module, name, SymbolicAnchors(child))

    @property
    def coarsest_stride(self) -> int:
        """Of the backbone's features, in pixels."""
        strides = [shape.stride for shape in self.model.backbone.output_shape().values()]
        return max(MIN_SIZE_DIVISIBILITY, *strides)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Detect objects.

        Args:
            images: (B, 3, H, W) uint8 in the order of ``INPUT.FORMAT``. H and W may be anything:
                they are padded here, at the right and bottom, after the normalisation.

        Returns:
            boxes (B, k, 4) in pixels of ``images``, inside of them; scores (B, k), descending;
            classes (B, k) int64. k is ``TEST.DETECTIONS_PER_IMAGE``, or R * K where that is less.
        """
        boxes, scores, classes = top_detections(self.predict(images), self.model.max_detections)
        return clip_boxes_to_image(boxes, images.shape[-2:]), scores, classes

    def predict(self, images: Tensor) -> Predictions:
        """All of it before the top-k: predictions at R samples."""
        model = self.model
        padded = self.pad((images.float() - model.pixel_mean) / model.pixel_std)
        branches, _ = model.predict(padded)
        return next(iter(branches.values())).float()

    def pad(self, images: Tensor) -> Tensor:
        """Fill up with zeros to the next multiple of what the backbone divides by.

        Not ``F.pad``: PyTorch 2.6 cannot prove for a symbol that the padding is not negative. And
        the sizes are written as products, of which it derives those of all features.
        """
        multiple = padding_multiple(self.model.backbone, MIN_SIZE_DIVISIBILITY)
        for dim in (2, 3):
            size = images.shape[dim]
            index = torch.arange(multiple * ((size + multiple - 1) // multiple))
            inside = (index < size).to(images.dtype)
            images = images.index_select(dim, index.clamp(max=size - 1))
            images = images * (inside[:, None] if dim == 2 else inside)
        return images


class SymbolicAnchors(nn.Module):
    """The anchors of Detectron2's generator, which rounds sizes in a way that needs numbers."""

    def __init__(self, generator: DefaultAnchorGenerator):
        super().__init__()
        self.cell_anchors = generator.cell_anchors
        self.strides = generator.strides
        self.offset = generator.offset
        self.num_anchors = generator.num_anchors

    def forward(self, features: list[Tensor]) -> list[Boxes]:
        anchors = []
        for cell, stride, feature in zip(self.cell_anchors, self.strides, features, strict=True):
            points = grid_points(*feature.shape[-2:], stride, feature.device)
            corners = points - stride // 2 + self.offset * stride
            anchors.append(Boxes((corners.repeat(1, 2)[:, None] + cell).reshape(-1, 4)))
        return anchors
