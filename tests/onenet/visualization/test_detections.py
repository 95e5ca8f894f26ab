import numpy as np
import pytest
import torch
from detectron2.structures import Boxes, Instances
from matplotlib.colors import to_rgb
from onenet.evaluation import best_f1_threshold, match_detections
from onenet.visualization import (
    Scene,
    correct_detections,
    draw_detections,
    draw_truth,
    nth_color,
    scene_sheet,
)
from onenet.visualization.draw import to_array

NAMES = ["zero", "one"]


def truth(boxes, classes, size=(50, 60)):
    boxes = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    return Instances(
        size, gt_boxes=Boxes(boxes), gt_classes=torch.tensor(classes, dtype=torch.int64)
    )


def found(boxes, classes, scores, size=(50, 60)):
    boxes = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    return Instances(
        size,
        pred_boxes=Boxes(boxes),
        pred_classes=torch.tensor(classes, dtype=torch.int64),
        scores=torch.tensor(scores),
    )


LEFT, RIGHT = [5, 5, 25, 25], [30, 5, 50, 25]


def test_the_best_detection_of_each_object_is_correct():
    detections = found([LEFT, LEFT, RIGHT, RIGHT], [0, 0, 0, 1], [0.9, 0.8, 0.7, 0.6])
    correct = correct_detections(detections, truth([LEFT, RIGHT], [0, 1]))
    assert correct.tolist() == [True, False, False, True]


def test_a_detection_beside_its_object_is_wrong():
    detections = found([[5, 25, 25, 45]], [0], [0.9])
    assert not correct_detections(detections, truth([LEFT], [0])).any()


@pytest.mark.parametrize("objects", [0, 1])
@pytest.mark.parametrize("detected", [0, 2])
def test_images_without_objects_or_detections(objects, detected):
    detections = found([LEFT] * detected, [1] * detected, [0.5] * detected)
    correct = correct_detections(detections, truth([LEFT] * objects, [1] * objects))
    assert correct.sum() == min(objects, detected)


@pytest.mark.parametrize(("scale", "size"), [(1, (50, 60)), (3, (150, 180)), (0.5, (25, 30))])
def test_the_picture_has_the_size_of_the_image(scale, size):
    image = np.zeros((50, 60, 3), np.uint8)
    assert draw_detections(image, found([], [], []), NAMES, scale).shape == (*size, 3)


def test_a_picture_without_detections_is_the_image():
    image = np.random.default_rng(0).integers(0, 256, (50, 60, 3), np.uint8)
    np.testing.assert_array_equal(draw_detections(image, found([], [], []), NAMES), image)


def test_a_detection_is_drawn_in_the_color_of_its_class():
    image = np.zeros((50, 60, 3), np.uint8)
    picture = draw_detections(image, found([LEFT], [1], [0.5]), NAMES, scale=4)
    color = np.round(255 * np.array(to_rgb(nth_color(1))))
    assert picture[4 * 25, 4 * 15] == pytest.approx(color, abs=2)
    assert not picture[4 * 40 :, 4 * 30 :].any()


@pytest.mark.parametrize("size", [(1, 1), (1, 200), (3, 2)])
def test_tiny_images_can_be_drawn(size):
    detections = found([[0, 0, size[1], size[0]]], [0], [0.5], size)
    assert draw_detections(np.zeros((*size, 3), np.uint8), detections, NAMES).shape == (*size, 3)


def test_a_sheet_tells_what_was_found():
    scene = Scene(
        name="first",
        image=np.zeros((50, 60, 3), np.uint8),
        truth=truth([LEFT, RIGHT], [0, 1]),
        detections=found([LEFT, LEFT], [0, 0], [0.9, 0.8]),
    )
    figure = scene_sheet([scene] * 3, NAMES, "a caption")
    titles = [ax.get_title("left") for ax in figure.axes]
    assert titles[:6] == ["first: ground truth", "detections: 1 of 2 found, 1 wrong"] * 3
    assert titles[6:] == ["", ""]  # the fourth pair is empty
    labels = [text.get_text() for text in figure.axes[0].texts]
    assert labels == ["zero", "one"]
    assert to_array(figure).shape[2] == 3


def matches(boxes, scores, gt_boxes):
    detections = found(boxes, [0] * len(boxes), scores)
    objects = truth(gt_boxes, [0] * len(gt_boxes))
    return match_detections(
        detections.pred_boxes.tensor,
        detections.scores,
        detections.pred_classes,
        objects.gt_boxes.tensor,
        objects.gt_classes,
    )


def test_best_f1_threshold():
    # Down to .7 both objects are found with one wrong detection, further down are wrong ones only.
    pooled = matches([LEFT, LEFT, RIGHT, LEFT], [0.9, 0.8, 0.7, 0.6], [LEFT, RIGHT])
    threshold, f1 = best_f1_threshold(pooled)
    assert threshold == pytest.approx(0.7)
    assert f1 == pytest.approx(2 * 2 / (3 + 2))


def test_f1_agrees_with_counting():
    generator = torch.Generator().manual_seed(0)
    found_scores = torch.rand(20, generator=generator, dtype=torch.float64)
    others = torch.rand(30, generator=generator, dtype=torch.float64)
    scores = torch.cat([found_scores, others])
    pooled = matches([], [], [])._replace(found=found_scores, scores=scores)
    by_counting = max(
        2 * (found_scores >= t).sum().item() / ((scores >= t).sum().item() + 20)
        for t in scores.tolist()
    )
    assert best_f1_threshold(pooled)[1] == pytest.approx(by_counting)


def test_nothing_found_has_no_threshold():
    threshold, f1 = best_f1_threshold(matches([], [], [LEFT]))
    assert threshold != threshold
    assert f1 == 0


def test_names_in_another_script_differ(caplog):
    image = np.zeros((96, 96, 3), np.uint8)
    boxes, objects = [[10, 20, 60, 70]], truth([[10, 20, 60, 70]], [0], (96, 96))
    for draw, content in ((draw_detections, found(boxes, [0], [0.9])), (draw_truth, objects)):
        first, second = (draw(image, content, [name]) for name in ("\ue123", "\ue124"))
        assert (first != second).any()
    assert "\ue123" in caplog.text and "\ue124" in caplog.text
