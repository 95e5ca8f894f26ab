"""Time and peak memory of the learned rules beside their formulas, image by image.

    python benchmarks/learned.py [--threads 2] [--rounds 5]

Forward and backward pass of two images of 800 x 1344 pixels, 20 and 100 ground truths each, five
levels (R = 22400), 80 classes and a quality branch. The plain versions are PyTorch as one would
write it down: pairs as (samples, ground truths), torchvision's IoUs, a loop over the ground truths
where a weight depends on each alone, autograd for the rest. That both give the same losses and
gradients is checked.
"""

from __future__ import annotations

import argparse

import onenet  # noqa: F401  (makes older Detectron2 versions importable)

# isort: split
import torch
import torch.nn.functional as F
from assigners import AutoAssign, FreeAnchor
from assignment import (
    IMAGES,
    NUM_CLASSES,
    OBJECTS,
    STRIDES,
    grid_priors,
    random_ground_truth,
    report,
)
from onenet import Criterion, GroundTruth, Predictions, Priors
from onenet.geometry import box_centers, encode_ltrb
from torch import Tensor
from torchvision.ops import box_iou, generalized_box_iou

EPS = 1e-12


def random_leaves(priors: Priors) -> list[Tensor]:
    """Logits, boxes and quality in the memory layout of a head."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(IMAGES, NUM_CLASSES + 5, len(priors), generator=generator)
    sides = torch.tensor([-3.0, -3, 3, 3])[:, None] * priors.stride * noise[:, :4].exp()
    boxes = priors.points.repeat(1, 2).T + sides
    return [noise[:, 5:] - 4, boxes, noise[:, 4]]


def scores_of(predictions: Predictions, image: int) -> Tensor:
    """(R, K), what inference ranks by."""
    return predictions.logits[image].sigmoid() * predictions.quality[image, :, None].sigmoid()


def negatives(scores: Tensor, weight: Tensor) -> Tensor:
    """The loss of scores (R, K) with negative weights."""
    q = scores * weight
    return (q**2 * F.binary_cross_entropy(q, torch.zeros_like(q), reduction="none")).sum()


def plain_auto_assign(
    rule: AutoAssign, priors: Priors, predictions: Predictions, gt: GroundTruth
) -> Tensor:
    """The sum of its losses."""
    gaussian, positive, negative, priors_sum, center = rule.assigner.center_prior, 0, 0, 0, 0
    for image, (boxes, labels) in enumerate(zip(gt.boxes, gt.labels, strict=True)):
        inside = encode_ltrb(priors.points[:, None], boxes).amin(dim=-1) > 0
        offset = (priors.points[:, None] - box_centers(boxes)) / priors.stride[:, None, None]
        offset = offset - gaussian.mu[labels]
        prior = (-(offset**2) / (2 * gaussian.sigma[labels] ** 2)).exp()
        prior = (prior[..., 0] * prior[..., 1]).masked_fill(~inside, 0)
        scores, predicted = scores_of(predictions, image), predictions.boxes[image]
        likelihood = (
            scores[:, labels]
            * (-rule.assigner.box_weight * (1 - generalized_box_iou(predicted, boxes))).exp()
        )
        weight = (3 * likelihood).exp() * prior
        weight = weight / weight.sum(dim=0).clamp(min=EPS)
        bag = (weight * likelihood).sum(dim=0)
        positive = positive + F.binary_cross_entropy(bag, torch.ones_like(bag), reduction="sum")

        with torch.no_grad():
            sharp = 1 / (1 - box_iou(predicted, boxes).amax(dim=1)).clamp(min=EPS)
            left = torch.ones_like(scores)
            for index, label in enumerate(labels.tolist()):
                found = inside[:, index].nonzero().flatten()
                if len(found):
                    x = sharp[found]
                    x = 1 - (x - x.min() + EPS) / (x.max() - x.min() + EPS)
                    left[found, label] = torch.minimum(left[found, label], x)
        negative = negative + negatives(scores, left)
        priors_sum = priors_sum + prior.sum()
        center = center + len(labels) / prior.sum()
    return (
        positive * rule.pos_weight / gt.valid.sum()
        + negative * rule.neg_weight / priors_sum.detach()
        + center * rule.center_weight / IMAGES
    )


def plain_free_anchor(
    rule: FreeAnchor,
    priors: Priors,
    predictions: Predictions,
    gt: GroundTruth,
    bags: Tensor | None = None,
) -> Tensor:
    """The sum of its losses; with given bags, because where overlaps tie others would do."""
    topk, positive, negative = rule.assigner.topk, 0, 0
    size = priors.boxes[:, 2:] - priors.boxes[:, :2]
    for image, (boxes, labels) in enumerate(zip(gt.boxes, gt.labels, strict=True)):
        bag = box_iou(boxes, priors.boxes).topk(topk).indices if bags is None else bags[image]
        scores, predicted = scores_of(predictions, image), predictions.boxes[image]
        ours, target = predicted[bag], boxes[:, None]
        shift = (box_centers(ours) - box_centers(target)) / size[bag] / 0.1
        growth = (ours[..., 2:] - ours[..., :2]) / (target[..., 2:] - target[..., :2])
        offset = torch.cat([shift, growth.log() / 0.2], dim=-1)
        loss = F.smooth_l1_loss(offset, torch.zeros_like(offset), reduction="none", beta=0.11)
        likelihood = scores[bag, labels[:, None]]
        likelihood = likelihood * (-rule.assigner.box_weight * loss.sum(dim=-1)).exp()
        weight = 1 / (1 - likelihood).clamp(min=EPS)
        mean = (likelihood * weight / weight.sum(dim=1, keepdim=True)).sum(dim=1)
        positive = positive + F.binary_cross_entropy(mean, torch.ones_like(mean), reduction="sum")

        with torch.no_grad():
            iou = box_iou(boxes, predicted)
            largest = iou.amax(dim=1, keepdim=True).clamp(min=rule.threshold + EPS)
            matched = ((iou - rule.threshold) / (largest - rule.threshold)).clamp(0, 1)
            left = torch.ones_like(scores)
            for probability, label in zip(matched, labels.tolist(), strict=True):
                left[:, label] = torch.minimum(left[:, label], 1 - probability)
        negative = negative + negatives(scores, left)
    count = gt.valid.sum()
    return positive * rule.alpha / count + negative * (1 - rule.alpha) / (count * topk)


def steps(rule: Criterion, plain, priors: Priors, gt: GroundTruth):
    """Our forward and backward pass, and the plain one."""
    leaves = random_leaves(priors)

    def step(losses):
        logits, boxes, quality = (x.detach().requires_grad_() for x in leaves)
        predictions = Predictions(logits.transpose(1, 2), boxes.transpose(1, 2), quality)
        loss = losses(predictions)
        loss.backward()
        return loss.detach(), logits.grad, boxes.grad, quality.grad

    def ours():
        return step(lambda predictions: sum(rule(priors, predictions, gt).values()))

    def theirs():
        return step(lambda predictions: plain(rule, priors, predictions, gt))

    def same():
        options = {}
        if isinstance(rule, FreeAnchor):
            logits, boxes, _ = leaves
            predictions = Predictions(logits.transpose(1, 2), boxes.transpose(1, 2))
            options["bags"], _ = rule.assigner.bags(priors, predictions, gt)
        return step(lambda predictions: plain(rule, priors, predictions, gt, **options))

    for one, other in zip(ours(), same(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5 * other.abs().max().item())
    return ours, theirs


def main() -> None:
    """Measure everything and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--objects", type=int, nargs="+", default=OBJECTS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    priors = grid_priors(STRIDES)
    for objects in args.objects:
        print(f"\nB = {IMAGES}, G = {objects}, forward + backward, {args.threads} threads")
        gt = random_ground_truth(objects)
        for rule, plain in (
            (AutoAssign(NUM_CLASSES), plain_auto_assign),
            (FreeAnchor(), plain_free_anchor),
        ):
            ours, theirs = steps(rule, plain, priors, gt)
            report(type(rule).__name__, ours, {"image loop": theirs}, args.rounds)


if __name__ == "__main__":
    main()
