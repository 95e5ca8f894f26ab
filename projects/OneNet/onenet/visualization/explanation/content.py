"""What the page is told of an image."""

from __future__ import annotations

import io
from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ...assignment import Condition, Explanation
from ...assignment.explanation import OTHER_SIDES, SIDES
from ...geometry import box_centers, elementwise_iou
from ...structures import GroundTruth, Predictions, Priors
from .packing import Packer

Tree = dict[str, Any]  # what JSON can hold

FEWEST = 16  # samples that are told of an object, whatever the size of the page
IMAGE_SIDE = 800  # of the picture at most, pixels
JPEG_QUALITY = 85
CONTEST_KEY = 1e4  # more than any distance of samples


class View(NamedTuple):
    """What one column of the page shows: an image as a rule sees it at a moment.

    Attributes:
        rule: as the user named it.
        moment: title of the weights, a key of :attr:`Scene.predictions`.
        explanation: of this image, B = 1.
    """

    rule: str
    moment: str
    explanation: Explanation


class Scene(NamedTuple):
    """An image with all that was made of it.

    Attributes:
        name: of the image.
        image: (H, W, 3) uint8 RGB, the network's input.
        priors: the R samples.
        gt: of this image, B = 1.
        predictions: of this image at each moment, by its title.
        views: what there is to see.
    """

    name: str
    image: np.ndarray
    priors: Priors
    gt: GroundTruth
    predictions: Mapping[str, Predictions]
    views: Sequence[View]


def scene_content(scene: Scene, names: Sequence[str] | None, budget: int) -> Tree:
    """An image for the page.

    Args:
        scene: the image.
        names: of the classes, if they have any.
        budget: about as many bytes; fewer samples of each object are told where all would be more.
    """
    picture = _jpeg(scene.image)
    objects = int(scene.gt.valid.sum())
    best = _in_order(scene)
    count = _at_most(scene, objects, budget)
    while True:
        packer = Packer()
        tree = _pack(scene, best[:objects, :count], packer)
        text = packer.text()
        if len(text) + len(picture) <= budget or count <= FEWEST:
            break
        share = (budget - len(picture)) / len(text)
        count = max(FEWEST, min(int(count * 0.95), int(count * share)))
    height, width = scene.image.shape[:2]
    labels = scene.gt.labels[0, :objects].tolist()
    return {
        "name": scene.name,
        "width": width,
        "height": height,
        "picture": picture,
        "objects": [
            {"box": [round(x, 2) for x in box], "label": names[label] if names else str(label)}
            for box, label in zip(scene.gt.boxes[0, :objects].tolist(), labels, strict=True)
        ],
        "classes": list(names or ()),
        "strides": [float(x[0]) for x in scene.priors.stride.split(scene.priors.level_sizes)],
        "samples": len(scene.priors),
        "told": count,
        "arrays": text,
        **tree,
    }


def _at_most(scene: Scene, objects: int, budget: int) -> int:
    """How many samples of each object a page could tell if each number took one byte."""
    explanations = [view.explanation for view in scene.views]
    numbers = sum(
        len(x.quantities) + sum(condition.margin is not None for condition in x.conditions)
        for x in explanations
    )
    fitting = budget // max(1, objects * (numbers + 2 * len(scene.predictions)))
    return min(len(scene.priors), max(FEWEST, fitting))


def _in_order(scene: Scene) -> Tensor:
    """(G, R) int64, the samples of each object, those first that passed most conditions of a rule.

    Of equal ones the nearest comes first, in sizes of the object.
    """
    boxes = scene.gt.boxes[0][:, None]
    offset = (scene.priors.points - box_centers(boxes)).abs()
    reach = (boxes[..., 2:] - boxes[..., :2]) / 2 + scene.priors.stride[:, None]
    distance = (offset / reach).amax(dim=-1).double().clamp(max=CONTEST_KEY / 2)
    passed = [
        view.explanation.first_failed[0] / len(view.explanation.conditions) for view in scene.views
    ]
    return (distance - CONTEST_KEY * torch.stack(passed).amax(dim=0)).argsort(dim=1, stable=True)


def _pack(scene: Scene, told: Tensor, packer: Packer) -> Tree:
    """What is told of the samples (G, n) of each object."""
    union = told.unique()
    slot = torch.zeros(len(scene.priors), dtype=torch.int64, device=told.device)
    slot[union] = torch.arange(len(union), device=told.device)
    gt = scene.gt.boxes[0, : len(told), None]
    priors = scene.priors
    prior_boxes = priors.boxes if priors.boxes.dim() == 2 else priors.boxes[0]
    return {
        "index": packer.add(union, "i4"),
        "points": packer.add(priors.points[union], "f4"),
        "levels": packer.add(priors.level[union], "u1"),
        "priorBoxes": packer.add(prior_boxes[union], "f4"),
        "pairs": packer.add(slot[told], "i4"),
        "priorIou": packer.add(elementwise_iou(prior_boxes[told], gt), "f4"),
        "moments": [
            {"name": name, **_moment(predictions, scene.gt, told, union, packer)}
            for name, predictions in scene.predictions.items()
        ],
        "views": [_view(view, told, union, packer) for view in scene.views],
    }


def _moment(
    predictions: Predictions, gt: GroundTruth, told: Tensor, union: Tensor, packer: Packer
) -> Tree:
    scores = predictions.joint().logits[0].sigmoid()
    boxes = predictions.boxes[0]
    best = scores[union].max(dim=-1)
    labels = gt.labels[0, : len(told), None]
    return {
        "boxes": packer.add(boxes[union], "f4"),
        "best": packer.add(best.values, "f4"),
        "bestClass": packer.add(best.indices, "i2"),
        "scores": packer.add(scores[told, labels], "f4"),
        "ious": packer.add(elementwise_iou(boxes[told], gt.boxes[0, : len(told), None]), "f4"),
    }


def _view(view: View, told: Tensor, union: Tensor, packer: Packer) -> Tree:
    explanation, rows = view.explanation, range(len(told))
    positive = explanation.positive[0, : len(told)].sum(dim=1).tolist()

    def pairs(values: Tensor) -> Tensor:
        return values[0, : len(told)].gather(1, told)

    return {
        "rule": view.rule,
        "moment": view.moment,
        "positives": [positive[row] for row in rows],
        "quantities": {
            name: packer.add(pairs(values).float(), "f4")
            for name, values in explanation.quantities.items()
        },
        "conditions": [_condition(x, pairs, packer) for x in explanation.conditions],
        "firstFailed": packer.add(explanation.first_failed[0, : len(told)][:, union], "u1"),
        "verdict": packer.add(explanation.verdict[0, union], "i2"),
        "ignored": [
            {"name": x.name, "objects": packer.add(_first(x, explanation, union), "i2")}
            for x in explanation.ignored
        ],
    }


def _condition(condition: Condition, pairs, packer: Packer) -> Tree:
    margin = condition.margin
    return {
        "name": condition.name,
        "unit": condition.unit,
        "sides": SIDES.get(condition.unit, OTHER_SIDES),
        "contest": condition.contest,
        "passed": packer.add(pairs(condition.passed), "u1"),
        # Exact: its text has to be that of Python.
        "margin": None if margin is None else packer.add(pairs(margin).float(), "f4", exact=True),
    }


def _first(condition: Condition, explanation: Explanation, union: Tensor) -> Tensor:
    """Of each sample the first object with which it passes a condition, -1 if none."""
    passed = (condition.passed & explanation.valid[..., None])[0][:, union]
    return torch.where(passed.any(dim=0), passed.int().argmax(dim=0), -1)


def _jpeg(image: np.ndarray) -> str:
    picture = Image.fromarray(image)
    picture.thumbnail((IMAGE_SIDE, IMAGE_SIDE))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=JPEG_QUALITY)
    return b64encode(file.getvalue()).decode("ascii")
