"""What the rules say of pairs that can be worked out by hand; verdicts are held elsewhere."""

import numpy as np
import pytest
import torch
from assigners import ATSS, FCOS, OTA, PAA, POTO, TAL, CenterNet, MaxIoU, OneToFew, SimOTA, YOLOv3
from assigners.dynamic.tal import PRESETS
from assigners.learned.free_anchor import AnchorBags
from assigners.learned.point_bags import PointBags
from assigners.learned.soft_points import SoftPoints
from onenet import Predictions

from .golden import ground_truth, point_priors

pytestmark = pytest.mark.numeric

LARGE, SMALL = [8, 8, 56, 56], [24, 24, 44, 44]
PRIORS = point_priors([(8, 8)], [8])  # at 4, 12, 20, ...; prior boxes of 64 pixels


def at(x, y):
    return y // 8 * 8 + x // 8


def explain(assigner, *boxes):
    """Of one image, where every sample predicts the first object."""
    case = {"gt_boxes": np.array(boxes, "f"), "gt_classes": np.zeros(len(boxes), int)}
    predicted = torch.tensor([[boxes[0]]]).float().expand(1, len(PRIORS), 4)
    predictions = Predictions(torch.zeros(1, len(PRIORS), 1), predicted)
    gt = ground_truth(case, (64, 64))
    assigner(PRIORS, predictions, gt)  # holds the verdict
    return assigner.explain(PRIORS, predictions, gt)


def test_fcos():
    explanation = explain(FCOS(size_ranges=[[0, 40]]), LARGE, SMALL)
    far, both = (explanation.describe(0, sample) for sample in (at(12, 12), at(28, 28)))
    assert far[:2] == [
        "inside the centre region: no, 8 px outside",
        "of a size for the level: no, 4 px outside",
    ]
    assert both[2] == "the smallest object that fits: no, 1904 px² short"
    lost = explanation.wanted & ~explanation.positive
    assert lost[0].nonzero().tolist() == [[0, at(x, y)] for y in (28, 36) for x in (28, 36)]


def test_max_iou():
    explanation = explain(MaxIoU(low_quality=False), LARGE)
    assert explanation.describe(0, at(28, 28))[0] == "IoU of at least 0.5: yes, 0.0625 to spare"
    corner = 28**2 / (64**2 + 48**2 - 28**2)
    assert (
        explanation.describe(0, at(4, 4))[0] == f"IoU of at least 0.5: no, {0.5 - corner:.4g} short"
    )
    (band,) = explanation.ignored
    assert band.text(0, 0, at(4, 4)) == (
        f"IoU of at least 0.4 with an object: no, {0.4 - corner:.4g} short"
    )


def test_max_iou_takes_the_best_of_an_object_though_it_is_bad():
    explanation = explain(MaxIoU(), SMALL)
    line = explanation.describe(0, at(36, 36))[0]
    assert line == "IoU of at least 0.5, or a best sample of the object: yes"


def test_atss():
    explanation = explain(ATSS(), LARGE)
    distance = 28 * 2**0.5 - 160**0.5
    assert explanation.describe(0, at(4, 4))[0] == (
        f"one of the 9 nearest locations of its level: no, {distance:.4g} px outside"
    )


def test_centernet():
    explanation = explain(CenterNet(), LARGE)
    assert explanation.describe(0, at(52, 36))[-1] == "the cell of the centre: no, 2 cells away"
    gaussian = explanation.quantities["Gaussian"][0, 0]
    weight = explanation.quantities["weight in the class loss"][0, 0]
    assert gaussian[at(36, 36)] == weight[at(36, 36)] == 1
    torch.testing.assert_close(weight[at(28, 36)], (1 - gaussian[at(28, 36)]) ** 4)


def test_tal():
    explanation = explain(TAL(**{**PRESETS["yolo"], "topk": 3}), LARGE)
    assert explanation.describe(0, at(4, 4))[0] == "inside the object: no, 4 px outside"
    fourth = explanation.describe(0, at(36, 12))  # all are equal
    assert fourth[1] == "one of the 3 largest metrics, or left by others: no, 1 short"


def test_simota():
    explanation = explain(SimOTA(), LARGE)
    quantities = {name: x[0, 0, at(36, 36)] for name, x in explanation.quantities.items()}
    assert quantities["k"] == quantities["rank of the cost"] == 10  # of 16 that are good and equal
    parts = "class cost", "IoU cost", "cost of the place"
    torch.testing.assert_close(sum(quantities[part] for part in parts), quantities["cost"])
    line = explanation.describe(0, at(36, 36))[1]
    assert line == "one of its k cheapest, or left by others: no, 1 short"


def test_poto_and_one_to_few():
    for assigner in (POTO(solver="argmax"), OneToFew()):
        explanation = explain(assigner, LARGE)
        quality = explanation.quantities["quality"][0, 0, at(28, 28)]
        torch.testing.assert_close(quality, torch.tensor(0.5**0.2))
    line = explanation.describe(0, at(12, 28))[0]
    assert line == "inside the centre region: no, 8 px outside"


def test_ota():
    explanation = explain(OTA(), LARGE)
    share, rest = (explanation.quantities[x] for x in ("share", "share of the background"))
    assert torch.equal(explanation.positive, share >= rest)
    assert (explanation.quantities["labels of the object"] == 16).all()  # points in the region


def test_paa():
    explanation = explain(PAA(), LARGE)
    names = [condition.name for condition in explanation.conditions]
    assert names[2] == "one of the 9 candidates of least loss on its level"
    assert explanation.conditions[2].passed.sum() == 9


def test_yolov3():
    explanation = explain(YOLOv3(), LARGE)
    assert explanation.quantities["IoU of the shape"][0, 0, 0] == 48**2 / 64**2
    assert explanation.conditions[0].passed.nonzero().tolist() == [[0, 0, at(36, 36)]]
    (above,) = explanation.ignored
    assert above.text(0, 0, 0).endswith("0.7 with an object: yes, 0.3 to spare")


def test_free_anchor():
    explanation = explain(AnchorBags(topk=9), LARGE)
    line = explanation.describe(0, at(4, 4))[1]
    assert line.startswith("one of the 9 largest IoUs of the object: no, ")
    weight = explanation.quantities["weight"]
    torch.testing.assert_close(weight.sum(), torch.tensor(1.0))
    assert (weight > 0).sum() == 9


def test_auto_assign():
    explanation = explain(PointBags(1), LARGE)
    lines = explanation.describe(0, at(12, 12))
    prior = np.exp(-2.5 * 2.5) / np.exp(-0.5 * 0.5)  # beside that of the nearest to the centre
    assert lines[:2] == [
        "inside the object: yes, 4 px inside",
        f"at least 0.5 of its largest weight: no, {0.5 - prior:.4g} short",
    ]
    torch.testing.assert_close(explanation.quantities["weight"].sum(), torch.tensor(1.0))


def test_sapd():
    explanation = explain(SoftPoints(), LARGE, SMALL)
    line = explanation.describe(0, at(36, 36))[1]
    assert line == "the smallest object of the cell: no, 1904 px² short"
    centerness = explanation.quantities["squared centerness"][0, :, at(36, 36)]
    torch.testing.assert_close(centerness, torch.tensor([20 / 28, 8 / 12]) ** 2)
