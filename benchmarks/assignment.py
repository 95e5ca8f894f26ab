r"""Time and peak memory of the assigners, beside mmdetection and loops like the original codes'.

    python benchmarks/assignment.py [--threads 2] [--device cpu] [--rounds 15] [--only TAL PAA]

Two images of 800 x 1344 pixels, 20 and 100 ground truths each. MaxIoU, ATSS and FCOS run on the
five levels of a feature pyramid (R = 22400 with one prior a location, 201600 with nine), CenterNet
on one level of stride 4 with the 80 classes of COCO (R = 67200); TAL, SimOTA, OTA, PAA and YOLOv3
on the five levels with random predictions of 80 classes.

The columns of mmdetection need its 3.3.0, without compiled operators, in a folder of its own:

    pip install --no-deps --target FOLDER mmdet==3.3.0 mmengine==0.10.7 mmcv-lite==2.1.0 \
        addict terminaltables yapf platformdirs shapely rich markdown-it-py mdurl pygments
    PYTHONPATH=FOLDER python benchmarks/assignment.py

On a GPU every assigner is also run once with PyTorch's synchronisation check set to raise.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from functools import partial

import assigners
import torch
from dynamic_references import ota_loop, paa_loop, yolov3_loop
from onenet import Assigner, GroundTruth, Predictions, Priors
from onenet.geometry import square_boxes
from onenet.modeling.heads.priors import point_priors
from references import centernet_heatmaps, fcos_loop, mmdet_assigners, mmdet_call
from timing import compare

IMAGES, NUM_CLASSES = 2, 80
HEIGHT, WIDTH = 800, 1344
STRIDES = (8, 16, 32, 64, 128)
SINGLE_STRIDE = 4
SIZE_RANGES = [[-1, 64], [64, 128], [128, 256], [256, 512], [512, float("inf")]]
OBJECTS = (20, 100)
# Sides of the ground truths in pixels, uniform on a logarithmic scale.
SMALLEST, LARGEST = 16, 400

Function = Callable[[], object]


def grid_priors(strides: tuple[int, ...], anchors: int = 1) -> Priors:
    """Square priors, ``anchors`` sizes a location."""
    maps = [torch.empty(1, 1, -(-HEIGHT // s), -(-WIDTH // s)) for s in strides]
    priors = point_priors(maps, strides, 8.0)
    if anchors == 1:
        return priors
    points = priors.points.repeat_interleave(anchors, dim=0)
    stride = priors.stride.repeat_interleave(anchors)
    scale = torch.linspace(4, 8, anchors).repeat(len(priors))
    return Priors(
        boxes=square_boxes(points, scale * stride),
        points=points,
        stride=stride,
        level=priors.level.repeat_interleave(anchors),
        level_sizes=tuple(size * anchors for size in priors.level_sizes),
        shapes=priors.shapes,
        anchors=anchors,
    )


def random_ground_truth(objects: int) -> GroundTruth:
    """Boxes anywhere in the image, cut at its border; no padded slots."""
    generator = torch.Generator().manual_seed(objects)
    size = torch.tensor([WIDTH, HEIGHT])
    center = torch.rand(IMAGES, objects, 2, generator=generator) * size
    growth = torch.rand(IMAGES, objects, 2, generator=generator)
    half = SMALLEST * (LARGEST / SMALLEST) ** growth / 2
    return GroundTruth(
        boxes=torch.cat([(center - half).clamp(min=0), (center + half).minimum(size)], dim=-1),
        labels=torch.randint(NUM_CLASSES, (IMAGES, objects), generator=generator),
        valid=torch.ones(IMAGES, objects, dtype=torch.bool),
        image_size=torch.tensor([[HEIGHT, WIDTH]] * IMAGES, dtype=torch.float32),
    )


def to_device(value, device: str):
    """A dataclass of tensors on another device."""
    moved = {k: v.to(device) for k, v in vars(value).items() if isinstance(v, torch.Tensor)}
    return type(value)(**{**vars(value), **moved})


def benchmarks(objects: int, device: str) -> Iterator[tuple[str, Function, dict[str, Function]]]:
    """What is measured: a name, our call, and the calls it is compared with, by their names."""
    gt = to_device(random_ground_truth(objects), device)
    mmdet = mmdet_assigners()

    def ours(assigner: Assigner, priors: Priors) -> Function:
        # Only the shape counts: these rules do not look at predictions.
        predictions = Predictions(
            torch.empty(1, device=device).expand(IMAGES, len(priors), NUM_CLASSES),
            torch.empty(1, device=device).expand(IMAGES, len(priors), 4),
        )
        return lambda: assigner(priors, predictions, gt)

    for anchors in (1, 9):
        priors = to_device(grid_priors(STRIDES, anchors), device)
        theirs = {}
        if mmdet is not None:
            theirs["mmdet"] = mmdet_call(mmdet.MaxIoUAssigner(0.5, 0.4, min_pos_iou=0), priors, gt)
        yield f"MaxIoU, {anchors} prior(s)", ours(assigners.MaxIoU(), priors), theirs

    priors = to_device(grid_priors(STRIDES), device)
    theirs = {}
    if mmdet is not None:
        theirs["mmdet"] = mmdet_call(mmdet.ATSSAssigner(topk=9), priors, gt, levels=True)
    yield "ATSS", ours(assigners.ATSS(), priors), theirs

    fcos = assigners.FCOS(size_ranges=SIZE_RANGES)
    yield "FCOS", ours(fcos, priors), {"image loop": lambda: fcos_loop(priors, gt, SIZE_RANGES)}

    single = to_device(grid_priors((SINGLE_STRIDE,)), device)
    grid = HEIGHT // SINGLE_STRIDE, WIDTH // SINGLE_STRIDE

    def draw():
        return centernet_heatmaps(gt, NUM_CLASSES, *grid, SINGLE_STRIDE)

    theirs = {
        "NumPy, weights": lambda: (1 - draw()) ** 4,
        "NumPy, heat map only": draw,
        # No way of making the dense weights can take less than this.
        "ones of their shape": lambda: torch.ones(IMAGES, len(single), NUM_CLASSES, device=device),
    }
    yield "CenterNet", ours(assigners.CenterNet(), single), theirs
    yield from dynamic_benchmarks(priors, gt)


def dynamic_benchmarks(
    priors: Priors, gt: GroundTruth
) -> Iterator[tuple[str, Function, dict[str, Function]]]:
    """The same of rules that look at predictions: boxes are the priors, but for some noise."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(IMAGES, len(priors), 4, generator=generator).to(priors.boxes.device)
    logits = torch.randn(IMAGES, NUM_CLASSES, len(priors), generator=generator).to(noise.device) - 3
    boxes = priors.boxes + noise * priors.stride[:, None]
    # The layouts of the heads: here a row of samples is contiguous, there one of classes.
    predictions = Predictions(logits.transpose(1, 2), boxes)
    other_layout = Predictions(predictions.logits.contiguous(), boxes)

    def ours(assigner: Assigner) -> Function:
        return partial(assigner, priors, predictions, gt)

    mmdet, theirs = mmdet_assigners(), {"TAL": {}, "SimOTA": {}}
    if mmdet is not None:
        references = {"TAL": mmdet.TaskAlignedAssigner(topk=13), "SimOTA": mmdet.SimOTAAssigner()}
        for name, reference in references.items():
            theirs[name]["mmdet"] = mmdet_call(reference, priors, gt, predictions=other_layout)
    yield "TAL", ours(assigners.TAL(**assigners.dynamic.tal.PRESETS["tood"])), theirs["TAL"]
    yield "SimOTA", ours(assigners.SimOTA()), theirs["SimOTA"]
    for name, loop in {"OTA": ota_loop, "PAA": paa_loop, "YOLOv3": yolov3_loop}.items():
        theirs = {"image loop": partial(loop, priors, other_layout, gt)}
        yield name, ours(getattr(assigners, name)()), theirs


def check_no_synchronisation(function: Function) -> None:
    """Run with PyTorch's check, which raises where the host waits for the GPU."""
    torch.cuda.set_sync_debug_mode("error")
    try:
        function()
    finally:
        torch.cuda.set_sync_debug_mode("default")


def report(name: str, ours: Function, theirs: dict[str, Function], rounds: int) -> None:
    """Print one line for each function, with the ratio to ours."""
    results = compare({"ours": ours, **theirs}, rounds)
    own = results["ours"]
    for label, result in results.items():
        memory = "      -" if result.peak_bytes is None else f"{result.peak_bytes / 2**20:7.1f}"
        ratio = "" if result is own else f"{result.seconds / own.seconds:7.1f} x ours"
        print(f"{name:20s} {label:22s} {result.seconds * 1e3:9.2f} ms {memory} MiB {ratio}")


def main() -> None:
    """Measure everything and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="rows that begin with these")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if mmdet_assigners() is None:
        print("mmdet is not installed, its rows are left out: see the head of this file.")
    for objects in OBJECTS:
        print(f"\nB = {IMAGES}, G = {objects}, {args.device}, {args.threads} threads")
        for name, ours, theirs in benchmarks(objects, args.device):
            if args.only and not name.startswith(tuple(args.only)):
                continue
            if torch.device(args.device).type == "cuda":
                ours()  # the first call loads kernels
                check_no_synchronisation(ours)
            report(name, ours, theirs, args.rounds)


if __name__ == "__main__":
    main()
