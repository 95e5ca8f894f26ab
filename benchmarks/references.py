"""What the assigners are measured against: mmdetection, and loops like the original codes'."""

from __future__ import annotations

import importlib.util
import math
import sys
import types
from collections.abc import Callable

import numpy as np
import torch
from onenet import GroundTruth, Predictions, Priors


def mmdet_assigners() -> types.ModuleType | None:
    """``mmdet.models.task_modules.assigners``, or None where mmdet is not installed.

    The assigners need neither the compiled operators of mmcv nor the models of mmdet, whose
    import would need them: a module without content stands in for each.
    """
    spec = importlib.util.find_spec("mmdet")
    if spec is None:
        return None
    operators = types.ModuleType("mmcv._ext")
    operators.__getattr__ = lambda name: None
    sys.modules.setdefault("mmcv._ext", operators)
    models = types.ModuleType("mmdet.models")
    models.__path__ = [f"{spec.submodule_search_locations[0]}/models"]
    sys.modules.setdefault("mmdet.models", models)
    return importlib.import_module("mmdet.models.task_modules.assigners")


def mmdet_call(
    assigner,
    priors: Priors,
    gt: GroundTruth,
    levels: bool = False,
    predictions: Predictions | None = None,
) -> Callable[[], list]:
    """A call of an mmdet assigner for each image, as the heads of mmdet do it.

    Args:
        assigner: an instance.
        priors: the samples.
        gt: without invalid slots.
        levels: whether the assigner asks for the number of priors of each level.
        predictions: for an assigner that looks at them; their scores are made in the call, as ours.
    """
    from mmengine.structures import InstanceData

    candidates = InstanceData(priors=priors.boxes)
    sizes = [list(priors.level_sizes)] if levels else []
    images = [
        InstanceData(bboxes=boxes, labels=labels)
        for boxes, labels in zip(gt.boxes, gt.labels, strict=True)
    ]
    if predictions is None:
        return lambda: [assigner.assign(candidates, *sizes, image) for image in images]
    points = torch.cat([priors.points, priors.stride[:, None].expand(-1, 2)], dim=1)
    where = points if type(assigner).__name__ == "SimOTAAssigner" else priors.boxes

    def assign() -> list:
        outputs = zip(predictions.logits, predictions.boxes, strict=True)
        found = [InstanceData(priors=where, scores=x.sigmoid(), bboxes=y) for x, y in outputs]
        return [assigner.assign(*pair) for pair in zip(found, images, strict=True)]

    return assign


def fcos_loop(
    priors: Priors, gt: GroundTruth, size_ranges: list[list[float]], radius: float = 1.5
) -> list[torch.Tensor]:
    """FCOS one image at a time, in the (samples, ground truths, sides) layout of the original code.

    Returns:
        (R,) int64 an image: ground truth, or -1.
    """
    ranges = torch.tensor(size_ranges, device=priors.points.device)[priors.level][:, None]
    return [_fcos_image(priors, boxes, ranges, radius) for boxes in gt.boxes]


def _fcos_image(
    priors: Priors, boxes: torch.Tensor, ranges: torch.Tensor, radius: float
) -> torch.Tensor:
    points, boxes = priors.points[:, None], boxes[None]
    reach = priors.stride[:, None, None] * radius
    center = (boxes[..., :2] + boxes[..., 2:]) / 2
    low = torch.maximum(center - reach, boxes[..., :2])
    high = torch.minimum(center + reach, boxes[..., 2:])
    inside = torch.cat([points - low, high - points], dim=-1).amin(dim=-1) > 0
    largest = torch.cat([points - boxes[..., :2], boxes[..., 2:] - points], dim=-1).amax(dim=-1)
    on_level = (largest >= ranges[..., 0]) & (largest <= ranges[..., 1])
    area = (boxes[..., 2:] - boxes[..., :2]).prod(dim=-1).repeat(len(points), 1)
    area[~(inside & on_level)] = torch.inf
    least, index = area.min(dim=1)
    index[least == torch.inf] = -1
    return index


def centernet_heatmaps(
    gt: GroundTruth,
    num_classes: int,
    height: int,
    width: int,
    stride: int,
    min_overlap: float = 0.7,
) -> np.ndarray:
    """CenterNet's targets drawn object by object in NumPy, as its data loader does it.

    Returns:
        (B, K, height, width) float32.
    """
    heat = np.zeros((len(gt.boxes), num_classes, height, width), np.float32)
    boxes = gt.boxes.cpu().numpy() / stride
    boxes = boxes.clip(0, [width - 1, height - 1, width - 1, height - 1])
    for image, (image_boxes, labels) in enumerate(zip(boxes, gt.labels.cpu().numpy(), strict=True)):
        for (x1, y1, x2, y2), label in zip(image_boxes, labels, strict=True):
            if x2 > x1 and y2 > y1:
                radius = _radius(math.ceil(y2 - y1), math.ceil(x2 - x1), min_overlap)
                center = int((x1 + x2) / 2), int((y1 + y2) / 2)
                _draw(heat[image, label], center, radius)
    return heat


def _radius(height: int, width: int, min_overlap: float) -> int:
    a, b, c = (
        4 * min_overlap,
        -2 * min_overlap * (height + width),
        (min_overlap - 1) * width * height,
    )
    return int((b + math.sqrt(b * b - 4 * a * c)) / 2)


def _draw(heat: np.ndarray, center: tuple[int, int], radius: int) -> None:
    (x, y), (height, width) = center, heat.shape
    top, bottom = max(0, y - radius), min(height, y + radius + 1)
    left, right = max(0, x - radius), min(width, x + radius + 1)
    rows, columns = np.ogrid[top - y : bottom - y, left - x : right - x]
    sigma = (2 * radius + 1) / 6
    gaussian = np.exp(-(columns * columns + rows * rows) / (2 * sigma * sigma))
    window = heat[top:bottom, left:right]
    np.maximum(window, gaussian, out=window)
