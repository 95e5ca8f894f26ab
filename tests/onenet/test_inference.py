import pytest
import torch
from onenet import Predictions
from onenet.inference import to_instances, top_detections
from torchvision.ops import batched_nms

pytestmark = pytest.mark.numeric


def official_order(predictions, k):
    """The reference: the k best locations of every class, then the k best of those."""
    scores = predictions.logits.transpose(1, 2).sigmoid()
    boxes, best, classes = [], [], []
    for image in range(len(scores)):
        of_class, sample = scores[image].topk(min(k, scores.shape[2]), dim=1)
        value, index = of_class.flatten().topk(min(k, of_class.numel()))
        row = index // of_class.shape[1]
        boxes.append(predictions.boxes[image, sample.flatten()[index]])
        best.append(value)
        classes.append(row)
    return torch.stack(boxes), torch.stack(best), torch.stack(classes)


@pytest.mark.parametrize("k", [1, 7, 100, 1000])
def test_order_is_that_of_the_official_post_processing(make_problem, k):
    predictions = make_problem(samples=60, classes=4).predictions
    boxes, scores, classes = top_detections(predictions, k)
    expected = official_order(predictions, k)
    assert scores.shape == (3, min(k, 240))
    for actual, wanted in zip((boxes, scores, classes), expected, strict=True):
        torch.testing.assert_close(actual, wanted, rtol=1e-6, atol=0)  # a sigmoid's last bit
    assert (scores.diff(dim=1) <= 0).all()


def test_they_are_the_best_of_all_pairs(make_problem):
    predictions = make_problem(samples=60, classes=4).predictions
    _, scores, _ = top_detections(predictions, 50)
    assert scores.equal(predictions.logits.sigmoid().flatten(1).topk(50).values)


def test_quality_multiplies_the_score(make_problem):
    predictions = make_problem(quality=True).predictions
    boxes, scores, classes = top_detections(predictions, 20)
    joint = predictions.logits.sigmoid() * predictions.quality.sigmoid()[..., None]
    torch.testing.assert_close(scores, joint.flatten(1).topk(20).values)
    index = joint.flatten(1).argmax(dim=1)
    assert classes[:, 0].equal(index % 4)
    assert boxes[0, 0].equal(predictions.boxes[0, index[0] // 4])


def test_memory_layout_changes_nothing(make_problem):
    predictions = make_problem().predictions
    strided = Predictions(
        predictions.logits.transpose(1, 2).contiguous().transpose(1, 2),
        predictions.boxes.permute(2, 0, 1).contiguous().permute(1, 2, 0),
    )
    pairs = zip(top_detections(strided, 30), top_detections(predictions, 30), strict=True)
    assert all(actual.equal(expected) for actual, expected in pairs)


def test_top_detections_do_not_synchronise(make_problem):
    predictions = make_problem(quality=True).to("meta").predictions
    boxes, scores, classes = top_detections(predictions, 30)
    assert (boxes.shape, scores.shape, classes.shape) == ((3, 30, 4), (3, 30), (3, 30))


DETECTIONS = (
    torch.tensor([[[-5.0, 2, 30, 90], [1, 2, 29, 40], [10, 10, 20, 20], [0, 0, 31, 40]]]),
    torch.tensor([[0.9, 0.8, 0.5, 0.1]]),
    torch.tensor([[2, 2, 0, 1]]),
)


def test_boxes_are_clipped_to_the_unpadded_image():
    (result,) = to_instances(DETECTIONS, [(40, 25)])
    assert result.image_size == (40, 25)
    assert result.pred_boxes.tensor.tolist() == [
        [0, 2, 25, 40], [1, 2, 25, 40], [10, 10, 20, 20], [0, 0, 25, 40],
    ]  # fmt: skip
    assert result.scores.equal(DETECTIONS[1][0])
    assert result.pred_classes.tolist() == [2, 2, 0, 1]


def test_score_threshold():
    (result,) = to_instances(DETECTIONS, [(40, 25)], score_threshold=0.5)
    assert result.scores.tolist() == pytest.approx([0.9, 0.8, 0.5])


def test_nms_is_by_class_and_off_unless_asked_for():
    (result,) = to_instances(DETECTIONS, [(40, 40)], nms_threshold=0.5)
    assert result.pred_classes.tolist() == [2, 0, 1]  # the second overlaps the first
    assert result.scores.tolist() == pytest.approx([0.9, 0.5, 0.1])
    boxes = to_instances(DETECTIONS, [(40, 40)])[0].pred_boxes.tensor
    kept = batched_nms(boxes, DETECTIONS[1][0], DETECTIONS[2][0], 0.5)
    assert result.pred_boxes.tensor.equal(boxes[kept])


def test_scores_that_are_not_numbers_are_dropped():
    boxes, scores, classes = DETECTIONS
    (result,) = to_instances(
        (boxes, scores.masked_fill(classes == 0, float("nan")), classes), [(40, 40)]
    )
    assert len(result) == 3
