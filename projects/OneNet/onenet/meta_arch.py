"""The OneNet meta-architecture."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from detectron2.config import configurable
from detectron2.modeling import META_ARCH_REGISTRY, build_backbone
from detectron2.modeling.backbone import Backbone
from detectron2.modeling.postprocessing import detector_postprocess
from detectron2.structures import ImageList
from torch import Tensor, nn

from .assigner import Assigner, build_assigner
from .criterion import Criterion
from .heads import DenseHead, build_head
from .ignore import ignore_samples
from .inference import to_instances, top_detections
from .nms import level_candidates
from .structures import GroundTruth, Predictions, Priors

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
        assigner: Assigner,
        criterion: Criterion,
        in_features: Sequence[str],
        pixel_mean: Sequence[float],
        pixel_std: Sequence[float],
        max_detections: int = 100,
        score_threshold: float = 0.0,
        nms_threshold: float | None = None,
    ):
        """
        Args:
            backbone: gives feature maps by name.
            head: predicts on those named by ``in_features``, finest first.
            assigner: any label assigner; used in training alone.
            criterion: the losses; used in training alone.
            pixel_mean, pixel_std: per channel, in the order of ``INPUT.FORMAT``, range 0 to 255.
            max_detections: k of the top-k over (sample, class).
            score_threshold: detections with a lower score are left out.
            nms_threshold: IoU of class-wise NMS after top-k, for comparison; None = no NMS.
        """
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.assigner = assigner
        self.criterion = criterion
        self.in_features = tuple(in_features)
        self.max_detections = max_detections
        self.score_threshold = score_threshold
        self.nms_threshold = nms_threshold
        # See evaluation.candidates_offered; a level's, in inference.
        self.offered_candidates = 0
        # Not part of a checkpoint, as in the official implementation.
        self.register_buffer("pixel_mean", _per_channel(pixel_mean), persistent=False)
        self.register_buffer("pixel_std", _per_channel(pixel_std), persistent=False)

    @classmethod
    def from_config(cls, cfg):
        backbone = build_backbone(cfg)
        onenet = cfg.MODEL.OneNet
        return {
            "backbone": backbone,
            "head": build_head(cfg, backbone.output_shape()),
            "assigner": build_assigner(cfg),
            "criterion": Criterion(cfg),
            "in_features": onenet.IN_FEATURES,
            "pixel_mean": cfg.MODEL.PIXEL_MEAN,
            "pixel_std": cfg.MODEL.PIXEL_STD,
            "max_detections": cfg.TEST.DETECTIONS_PER_IMAGE,
            "score_threshold": onenet.SCORE_THRESH_TEST,
            "nms_threshold": onenet.NMS_THRESH if onenet.NMS else None,
        }

    @property
    def device(self) -> torch.device:
        return self.pixel_mean.device

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
            :func:`~onenet.evaluation.candidates_offered`, ``candidates`` of the same kind.
        """
        images = self.preprocess_image(batched_inputs)
        features = self.backbone(images.tensor)
        stages, priors = self.head([features[name] for name in self.in_features])
        if self.training:
            return self.losses(stages, priors, self.ground_truth(batched_inputs))
        results = {"instances": self.inference(stages[0], images.image_sizes)}
        if self.offered_candidates:
            results["candidates"] = self.candidates(stages[0], priors, images.image_sizes)
        return [
            {
                name: detector_postprocess(found[i], *_output_size(x, found[i].image_size))
                for name, found in results.items()
            }
            for i, x in enumerate(batched_inputs)
        ]

    def preprocess_image(self, batched_inputs: list[dict]) -> ImageList:
        """Normalise, pad at the right and bottom, and stack the images."""
        images = [(x["image"].to(self.device) - self.pixel_mean) / self.pixel_std
                  for x in batched_inputs]  # fmt: skip
        divisibility = max(self.backbone.size_divisibility, MIN_SIZE_DIVISIBILITY)
        return ImageList.from_tensors(images, divisibility)

    def ground_truth(self, batched_inputs: list[dict]) -> GroundTruth:
        """Collect the annotations of a batch on the device of the model."""
        instances = [x["instances"].to(self.device) for x in batched_inputs]
        none = torch.zeros(0, 4)
        regions = [x.get("ignore_boxes", none).to(self.device) for x in batched_inputs]
        return GroundTruth.from_instances(instances, regions)

    def losses(
        self, stages: list[Predictions], priors: Priors, gt: GroundTruth
    ) -> dict[str, Tensor]:
        """Assign each stage on its own and sum up its losses; stage 1 onwards has a suffix."""
        losses = {}
        for index, predictions in enumerate(stages):
            # Under AMP the network may be in half precision; costs and losses never are.
            predictions = predictions.float()
            with torch.autocast(self.device.type, enabled=False):
                assignment = self.assigner(priors, predictions.detach(), gt)
                if gt.ignore_boxes is not None:
                    assignment = ignore_samples(assignment, predictions.boxes, gt.ignore_boxes)
                stage = self.criterion(predictions, assignment, gt, priors)
            suffix = f"_stage{index}" if index else ""
            losses.update({name + suffix: loss for name, loss in stage.items()})
        return losses

    def inference(self, predictions: Predictions, image_sizes: list[tuple[int, int]]):
        """Detections of each image as Instances, in pixels of the network input."""
        detections = top_detections(predictions.float(), self.max_detections)
        return to_instances(detections, image_sizes, self.score_threshold, self.nms_threshold)

    def candidates(
        self, predictions: Predictions, priors: Priors, image_sizes: list[tuple[int, int]]
    ):
        """What NMS would choose from in each image, level after level, like :meth:`inference`."""
        found = level_candidates(predictions.float(), priors.level_sizes, self.offered_candidates)
        return to_instances(found, image_sizes, self.score_threshold)


def _per_channel(values: Sequence[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float32).view(-1, 1, 1)


def _output_size(inputs: dict, size: tuple[int, int]) -> tuple[int, int]:
    return inputs.get("height", size[0]), inputs.get("width", size[1])
