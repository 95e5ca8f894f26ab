"""Reference cases of the golden files, as the types of the contract."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from onenet import Assignment, GroundTruth, Predictions, Priors
from onenet.geometry import box_centers, square_boxes

FOLDER = Path(__file__).parents[1] / "golden"
STRIDES = (8, 16, 32, 64, 128)
NUM_CLASSES = 4


def load(name: str) -> Mapping[str, np.ndarray]:
    with np.load(FOLDER / f"{name}.npz") as file:
        return dict(file)


def cases(data: Mapping[str, np.ndarray]) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """(name, values without their prefix) of every case."""
    for index in range(int(data["num_cases"])):
        prefix = f"case{index:03d}_"
        case = {k.removeprefix(prefix): v for k, v in data.items() if k.startswith(prefix)}
        yield f"{index}_{case['tag']}", case


def ground_truth(case: Mapping[str, np.ndarray], image_wh=(1, 1)) -> GroundTruth:
    """One image; an empty one gets an invalid slot."""
    count = len(case["gt_boxes"])
    slots = max(1, count)
    boxes, labels = torch.zeros(1, slots, 4), torch.zeros(1, slots, dtype=torch.int64)
    boxes[0, :count] = torch.from_numpy(case["gt_boxes"])
    labels[0, :count] = torch.from_numpy(case["gt_classes"])
    width, height = map(float, image_wh)
    return GroundTruth(
        boxes, labels, torch.arange(slots)[None] < count, torch.tensor([[height, width]])
    )


def concat(images: Sequence[GroundTruth]) -> GroundTruth:
    """Of one image each, as a batch."""
    slots = max(gt.labels.shape[1] for gt in images)

    def join(field: str) -> torch.Tensor:
        rows = [getattr(gt, field)[0] for gt in images]
        return torch.stack(
            [torch.cat([r, r.new_zeros(slots - len(r), *r.shape[1:])]) for r in rows]
        )

    sizes = torch.cat([gt.image_size for gt in images])
    return GroundTruth(join("boxes"), join("labels"), join("valid"), sizes)


def level_and_stride(sizes, strides=STRIDES) -> tuple[torch.Tensor, torch.Tensor]:
    counts = torch.tensor(sizes)
    level = torch.arange(len(sizes)).repeat_interleave(counts)
    return level, torch.tensor(strides[: len(sizes)], dtype=torch.float32)[level]


def anchor_priors(anchors: np.ndarray, level_hw: np.ndarray) -> Priors:
    boxes = torch.from_numpy(anchors)
    per_location = len(boxes) // int(level_hw.prod(1).sum())
    sizes = tuple(int(h * w) * per_location for h, w in level_hw)
    level, stride = level_and_stride(sizes)
    shapes = tuple((int(h), int(w)) for h, w in level_hw)
    return Priors(boxes, box_centers(boxes), stride, level, sizes, shapes, per_location)


def point_priors(level_hw, strides=STRIDES) -> Priors:
    """Points at the centres of the cells."""
    grids = []
    for (height, width), stride in zip(level_hw, map(int, strides), strict=True):
        x = torch.arange(int(width)) * stride + stride // 2
        y = torch.arange(int(height)) * stride + stride // 2
        grids.append(torch.cartesian_prod(y, x).flip(1).float())
    sizes = tuple(map(len, grids))
    points = torch.cat(grids)
    level, stride = level_and_stride(sizes, strides)
    shapes = tuple((int(h), int(w)) for h, w in level_hw)
    return Priors(square_boxes(points, 8 * stride), points, stride, level, sizes, shapes)


def predictions_of(case: Mapping[str, np.ndarray]) -> Predictions:
    """Of one image, from ``scores`` or ``logits`` and ``pred_boxes``."""
    scores = torch.from_numpy(case["scores"])[None] if "scores" in case else None
    logits = torch.from_numpy(case["logits"])[None] if scores is None else scores.logit()
    return Predictions(logits, torch.from_numpy(case["pred_boxes"])[None])


def score_map(assignment: Assignment) -> torch.Tensor:
    """(R,) class target of each sample of one image, 0 where it is not positive."""
    value = (assignment.score * assignment.positive)[0]
    target = value.new_zeros(assignment.dense_gt().shape[1])
    return target.scatter_reduce(0, assignment.sample[0], value, "amax")


def no_predictions(priors: Priors, num_classes: int = NUM_CLASSES) -> Predictions:
    """What rules that look at positions alone get; they must not read it."""
    nan = torch.full((), torch.nan)
    return Predictions(nan.expand(1, len(priors), num_classes), nan.expand(1, len(priors), 4))
