"""The OneNet meta-architecture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from detectron2.config import configurable
from detectron2.modeling import META_ARCH_REGISTRY, build_backbone
from detectron2.modeling.backbone import Backbone
from detectron2.modeling.postprocessing import detector_postprocess
from detectron2.structures import ImageList, Instances
from torch import Tensor, nn

from .compat import padding_multiple
from .criterion import Criterion, Normalizer, build_criteria
from .inference import to_instances, top_detections
from .modeling.heads import DenseHead, build_head
from .modeling.neck import build_neck
from .nms import level_candidates
from .structures import DENSE, GroundTruth, Predictions, Priors

# The official implementation pads to this, whatever the backbone asks for.
MIN_SIZE_DIVISIBILITY = 32


@META_ARCH_REGISTRY.register()
class OneNet(nn.Module):
    """End-to-end object detection with dense one-to-one prediction.

    Source: Sun et al., "What Makes for End-to-End Object Detection?", ICML 2021.
    """

    @configurable
    def __init__(
        self,
        *,
        backbone: Backbone,
        head: DenseHead,
        criteria: Mapping[str, Criterion],
        in_features: Sequence[str],
        neck: nn.Module | None = None,
        pixel_mean: Sequence[float],
        pixel_std: Sequence[float],
        max_detections: int = 100,
        score_threshold: float = 0.0,
        nms_threshold: float | None = None,
        nms_candidates: int = 0,
        frozen: bool = False,
    ):
        """
        Args:
            backbone: gives feature maps by name.
            head: predicts on those named by ``in_features``, finest first.
            neck: what happens to these features before the head sees them; None = nothing.
            criteria: what each of the head's ``branches`` is trained with; branches may share one.
            pixel_mean, pixel_std: per channel, in the order of ``INPUT.FORMAT``, range 0 to 255.
            max_detections: k of the top-k over (sample, class).
            score_threshold: detections with a lower score are left out.
            nms_threshold: IoU of class-wise NMS after top-k, for comparison; None = no NMS.
            nms_candidates: NMS among this many detections of each level instead; 0 = after top-k.
            frozen: train only the head's selector; all else stays as it is.
        """
        super().__init__()
        self.backbone = backbone
        self.neck = neck or nn.Identity()
        self.head = head
        self.criteria = nn.ModuleDict(criteria)
        self.frozen = frozen
        if frozen:
            self.requires_grad_(False)
            head.selector.requires_grad_(True)
        self.in_features = tuple(in_features)
        self.max_detections = max_detections
        self.score_threshold = score_threshold
        self.nms_threshold = nms_threshold
        self.nms_candidates = nms_candidates
        # See evaluation.candidates_offered; a level's, in inference.
        self.offered_candidates = 0
        # Not part of a checkpoint, as in the official implementation.
        self.register_buffer("pixel_mean", _per_channel(pixel_mean), persistent=False)
        self.register_buffer("pixel_std", _per_channel(pixel_std), persistent=False)

    @classmethod
    def from_config(cls, cfg):
        backbone = build_backbone(cfg)
        head = build_head(cfg, backbone.output_shape())
        onenet = cfg.MODEL.OneNet
        return {
            "backbone": backbone,
            "neck": build_neck(cfg, backbone.output_shape()),
            "head": head,
            "criteria": build_criteria(cfg, head.branches),
            "in_features": onenet.IN_FEATURES,
            "pixel_mean": cfg.MODEL.PIXEL_MEAN,
            "pixel_std": cfg.MODEL.PIXEL_STD,
            "max_detections": cfg.TEST.DETECTIONS_PER_IMAGE,
            "score_threshold": onenet.SCORE_THRESH_TEST,
            "nms_threshold": onenet.NMS_THRESH if onenet.NMS or onenet.AUX.TEST else None,
            "nms_candidates": cfg.MODEL.RETINANET.TOPK_CANDIDATES_TEST if onenet.AUX.TEST else 0,
            "frozen": onenet.SELECTOR.ENABLED and onenet.SELECTOR.FREEZE,
        }

    def train(self, mode: bool = True) -> OneNet:
        super().train(mode)
        if self.frozen:  # batch norm as in inference
            for module in (self.backbone, self.neck, *self.head.children()):
                module.train(mode and module is self.head.selector)
        return self

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Train as ``torch.compile`` (which gets the arguments) makes the network and the losses.

        Assigners are left alone, and so are rules with losses of their own.
        """
        self.network = torch.compile(self.network, *args, **kwargs)
        for criterion in self.criteria.values():
            for loss in criterion.losses:
                loss.compile(*args, **kwargs)

    @property
    def device(self) -> torch.device:
        return self.pixel_mean.device

    @property
    def criterion(self) -> Criterion:
        """Of the branch that inference uses."""
        return next(iter(self.criteria.values()))

    @property
    def normalizer(self) -> Normalizer:
        """Gives the denominator of the losses of all criteria."""
        return self.criterion.normalizer

    def forward(self, batched_inputs: list[dict]):
        """Train on or detect objects in a batch in Detectron2's standard format.

        Args:
            batched_inputs: for each image ``image`` (3, H, W), values 0 to 255 in the order of
                ``INPUT.FORMAT``; in training ``instances`` with ``gt_boxes`` and ``gt_classes``,
                and perhaps ``ignore_boxes`` (n, 4), all of the image as it is given;
                in inference perhaps ``height`` and ``width`` of the wanted output in pixels.

        Returns:
            In training a dict of losses () by name. In inference, for each image a dict with
            ``instances``: ``pred_boxes``, ``scores`` (descending) and ``pred_classes``; and while
            :func:`~onenet.evaluation.candidates_offered`, ``candidates`` of the same kind, and with
            a selector ``dense_candidates``, whose scores are without it.
        """
        images = self.preprocess_image(batched_inputs)
        if self.training:
            # Copied before the network is launched: the assigner does not wait for them.
            gt = self.ground_truth(batched_inputs)
            return self.losses(images.tensor, gt)
        branches, priors = self.predict(images.tensor)
        predictions = next(iter(branches.values()))
        results = {"instances": self.inference(predictions, priors, images.image_sizes)}
        if self.offered_candidates:
            results["candidates"] = self.candidates(predictions, priors, images.image_sizes)
            if DENSE in branches:
                dense = self.candidates(branches[DENSE], priors, images.image_sizes)
                results["dense_candidates"] = dense
        return [
            {
                name: detector_postprocess(found[i], *_output_size(x, found[i].image_size))
                for name, found in results.items()
            }
            for i, x in enumerate(batched_inputs)
        ]

    def preprocess_image(self, batched_inputs: list[dict]) -> ImageList:
        """Normalise, pad at the right and bottom, and stack the images."""
        images = (x["image"].to(self.device, non_blocking=True) for x in batched_inputs)
        images = [(image - self.pixel_mean) / self.pixel_std for image in images]
        multiple = padding_multiple(self.backbone, MIN_SIZE_DIVISIBILITY)
        return ImageList.from_tensors(images, multiple)

    def ground_truth(self, batched_inputs: list[dict]) -> GroundTruth:
        """Collect the annotations of a batch on the device of the model."""
        none = torch.zeros(0, 4)
        regions = [x.get("ignore_boxes", none) for x in batched_inputs]
        gt = GroundTruth.from_instances([x["instances"] for x in batched_inputs], regions)
        return gt.to(self.device)

    def features(self, images: Tensor) -> list[Tensor]:
        """What the head sees of images (B, 3, H, W) that are normalised and padded."""
        features = self.backbone(images)
        return self.neck([features[name] for name in self.in_features])

    def predict(self, images: Tensor) -> tuple[dict[str, Predictions], Priors]:
        """Run the network.

        Args:
            images: (B, 3, H, W), normalised and padded.

        Returns:
            The predictions of each branch, in the precision of the network, first the one that
            inference uses (see :meth:`DenseHead.forward`), and the samples they belong to; of a
            head that finds boxes by their corners, the boxes.
        """
        return self.head.group(*self.outputs(images))

    def outputs(self, images: Tensor) -> tuple[dict[str, Predictions], Priors]:
        """The same as they are trained, at the samples of the head."""
        return self.head(self.features(images))

    def network(self, images: Tensor) -> tuple[list[Tensor], dict[str, Predictions], Priors]:
        """What takes the time of a step: the features, and what the head makes of them."""
        features = self.features(images)
        return features, *self.head(features)

    def losses(self, images: Tensor, gt: GroundTruth) -> dict[str, Tensor]:
        """The losses of all branches by name; those of any but the first end with its name."""
        features, branches, priors = self.network(images)
        losses = {}
        for index, (branch, predictions) in enumerate(branches.items()):
            own = self.criteria[branch](priors, predictions, gt, features)
            suffix = f"_{branch}" if index else ""
            losses.update({name + suffix: loss for name, loss in own.items()})
        return losses

    def inference(
        self, predictions: Predictions, priors: Priors, image_sizes: list[tuple[int, int]]
    ) -> list[Instances]:
        """Detections of each image, in pixels of the network input."""
        predictions = predictions.float()
        if self.nms_candidates:
            found = level_candidates(predictions, priors.level_sizes, self.nms_candidates)
        else:
            found = top_detections(predictions, self.max_detections)
        results = to_instances(found, image_sizes, self.score_threshold, self.nms_threshold)
        return [result[: self.max_detections] for result in results]

    def candidates(
        self, predictions: Predictions, priors: Priors, image_sizes: list[tuple[int, int]]
    ) -> list[Instances]:
        """What NMS would choose from in each image, level after level, like :meth:`inference`."""
        found = level_candidates(predictions.float(), priors.level_sizes, self.offered_candidates)
        return to_instances(found, image_sizes, self.score_threshold)


def _per_channel(values: Sequence[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float32).view(-1, 1, 1)


def _output_size(inputs: dict, size: tuple[int, int]) -> tuple[int, int]:
    return inputs.get("height", size[0]), inputs.get("width", size[1])
