"""Time and memory of the min-cost assigner, beside plain implementations of the same formulas.

    python benchmarks/min_cost.py [--threads 2]

Everything is measured in one run and in turns; ratios are what counts. The samples are those of the
single-level head on a 512 x 853 image, the classes those of COCO.
"""

from __future__ import annotations

import argparse
import time
from unittest import mock

import onenet  # noqa: F401  (makes older Detectron2 versions importable)

# isort: split
import torch
from detectron2.config import get_cfg
from detectron2.modeling import build_model
from detectron2.structures import Boxes, Instances
from onenet import GroundTruth, MinCost, Predictions, Priors, add_onenet_config
from onenet.assignment.costs import LOG_EPS
from onenet.modeling.heads.priors import point_priors
from scipy.optimize import linear_sum_assignment
from timing import compare
from torchvision.ops import generalized_box_iou

BATCH, CLASSES = 2, 80
HEIGHT, WIDTH = 512, 853
GRID = (128, 214)  # of the padded image at stride 4: R = 27392
OBJECTS = (7, 20, 100)


def random_problem(objects: int) -> tuple[Priors, Predictions, GroundTruth]:
    """Predictions in the memory layout of the head, and ground truths of COCO-like sizes."""
    generator = torch.Generator().manual_seed(objects)
    priors = point_priors([torch.empty(1, 1, *GRID)], [4], 8.0)
    logits = torch.randn(BATCH, CLASSES, len(priors), generator=generator) - 4
    distances = torch.rand(BATCH, 4, len(priors), generator=generator) * 80
    sides = torch.tensor([-1.0, -1, 1, 1])[:, None] * distances
    boxes = priors.points.repeat(1, 2).T + sides
    size = torch.tensor([WIDTH, HEIGHT])
    centers = torch.rand(BATCH, objects, 2, generator=generator) * size
    half = torch.rand(BATCH, objects, 2, generator=generator) * 120 + 4
    gt = GroundTruth(
        boxes=torch.cat([centers - half, centers + half], dim=-1),
        labels=torch.randint(CLASSES, (BATCH, objects), generator=generator),
        valid=torch.ones(BATCH, objects, dtype=torch.bool),
        image_size=torch.tensor([[HEIGHT, WIDTH]] * BATCH, dtype=torch.float32),
    )
    return priors, Predictions(logits.transpose(1, 2), boxes.transpose(1, 2)), gt


def plain_costs(predictions: Predictions, gt: GroundTruth) -> list[torch.Tensor]:
    """The cost matrix (R, G) of each image: all K classes, one line a term."""
    costs = []
    for image in range(BATCH):
        p, boxes = predictions.logits[image].sigmoid(), predictions.boxes[image]
        negative = 0.75 * p**2 * -(1 - p + LOG_EPS).log()
        positive = 0.25 * (1 - p) ** 2 * -(p + LOG_EPS).log()
        class_cost = (positive - negative)[:, gt.labels[image]]
        scale = gt.scale[image]
        l1 = torch.cdist(boxes / scale, gt.boxes[image] / scale, p=1)
        giou = generalized_box_iou(boxes, gt.boxes[image])
        costs.append(2 * class_cost + 5 * l1 - 2 * giou)
    return costs


def benchmark_argmin() -> None:
    """Costs and their minimum."""
    print(f"\nargmin, B = {BATCH}, R = {GRID[0] * GRID[1]}, K = {CLASSES}")
    assigner = _assigner("argmin")
    for objects in OBJECTS:
        problem = random_problem(objects)
        result = compare(
            {
                "plain": lambda p=problem: [c.min(dim=0) for c in plain_costs(*p[1:])],
                "MinCost": lambda p=problem: assigner(*p),
            }
        )
        _print_row(f"G = {objects}", result["plain"], result["MinCost"])


def benchmark_hungarian() -> None:
    """Costs and their optimal assignment, and the latter alone."""
    print("\nHungarian on the same costs: SciPy on all samples, and on the G cheapest")
    assigner = _assigner("hungarian")
    for objects in OBJECTS:
        problem = random_problem(objects)
        result = compare(
            {
                "plain": lambda p=problem: [linear_sum_assignment(c) for c in plain_costs(*p[1:])],
                "MinCost": lambda p=problem: assigner(*p),
            },
            rounds=7,
        )
        _print_row(f"G = {objects}, with the costs", result["plain"], result["MinCost"])
        _solver_alone(assigner, problem, objects)


def _solver_alone(assigner: MinCost, problem: tuple, objects: int) -> None:
    cost = assigner.cost_matrix(*problem)
    matrices = [image.T.numpy() for image in cost]
    with mock.patch.object(MinCost, "cost_matrix", lambda *_: cost), torch.no_grad():
        unpieced = MinCost(solver="hungarian", max_pairs=cost.numel())
        result = compare(
            {
                "plain": lambda: [linear_sum_assignment(m) for m in matrices],
                "MinCost": lambda: unpieced(*problem),
            },
            rounds=7,
        )
    _print_row(f"G = {objects}, solver alone", result["plain"], result["MinCost"])


def benchmark_step(rounds: int = 3) -> None:
    """Share of assignment and losses, forward and backward, in a training step of onenet_R50."""
    model = _model()
    batch = [_random_input(seed) for seed in range(BATCH)]
    step, part = [], []
    for round_ in range(rounds + 1):
        model.zero_grad()
        start = time.perf_counter()
        sum(model(batch).values()).backward()
        end = time.perf_counter()
        if round_:
            step.append(end - start)
            part.append(_seconds_of_losses(model, batch))
    print(f"\nonenet_R50 (no DCN), {HEIGHT} x {WIDTH}, batch {BATCH}, 7 objects an image")
    print(f"  training step {min(step):.2f} s, assignment and losses {min(part) * 1e3:.0f} ms")
    print(f"  share {100 * min(part) / min(step):.1f} %")


def _seconds_of_losses(model: torch.nn.Module, batch: list[dict]) -> float:
    """Forward and backward of everything behind the head."""
    with torch.no_grad():
        branches, priors = model.predict(model.preprocess_image(batch).tensor)
    (predictions,) = branches.values()
    leaves = Predictions(predictions.logits.requires_grad_(), predictions.boxes.requires_grad_())
    gt = GroundTruth.from_instances([x["instances"] for x in batch])
    start = time.perf_counter()
    sum(model.criterion(priors, leaves, gt).values()).backward()
    return time.perf_counter() - start


def _random_input(seed: int) -> dict:
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(7, 2, generator=generator) * 400
    extent = torch.rand(7, 2, generator=generator) * 100 + 10
    instances = Instances((HEIGHT, WIDTH))
    instances.gt_boxes = Boxes(torch.cat([corner, corner + extent], dim=1))
    instances.gt_classes = torch.randint(CLASSES, (7,), generator=generator)
    image = torch.randint(256, (3, HEIGHT, WIDTH), generator=generator, dtype=torch.uint8)
    return {"image": image, "instances": instances}


def _model() -> torch.nn.Module:
    cfg = _config()
    cfg.MODEL.META_ARCHITECTURE = "OneNet"
    cfg.MODEL.BACKBONE.NAME = "build_resnet_backbone"
    cfg.MODEL.RESNETS.OUT_FEATURES = ["res2", "res3", "res4", "res5"]
    cfg.MODEL.OneNet.DCN = False
    return build_model(cfg).train()


def _config():
    cfg = get_cfg()
    add_onenet_config(cfg)
    cfg.MODEL.DEVICE = "cpu"
    return cfg


def _assigner(solver: str) -> MinCost:
    cfg = _config()
    cfg.MODEL.OneNet.ASSIGNER.SOLVER = solver
    return MinCost(cfg)


def _print_row(name: str, plain, ours) -> None:
    line = f"  {name:26s} plain {plain.seconds * 1e3:8.1f} ms   ours {ours.seconds * 1e3:7.1f} ms"
    line += f"   {plain.seconds / ours.seconds:5.1f}x faster"
    if plain.peak_bytes and ours.peak_bytes:
        mib = plain.peak_bytes / 2**20, ours.peak_bytes / 2**20
        line += f"   peak {mib[0]:6.1f} and {mib[1]:6.1f} MiB ({mib[1] / mib[0]:.2f})"
    print(line, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of PyTorch")
    torch.set_num_threads(parser.parse_args().threads)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    benchmark_argmin()
    benchmark_hungarian()
    benchmark_step()
