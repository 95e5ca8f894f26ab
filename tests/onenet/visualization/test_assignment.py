import copy

import numpy as np
import pytest
import torch
from detectron2.modeling import build_model
from matplotlib.colors import to_rgb
from onenet import Assigner, Assignment, GroundTruth, Predictions, Priors
from onenet.visualization import (
    PositiveSamples,
    draw_positive_samples,
    nth_color,
    panel_grid,
    positive_samples,
    positives_figure,
)
from onenet.visualization.draw import GAP, PANEL_SIDE, TITLE_HEIGHT, to_array

SIDE = 40  # of the image below, pixels
POINTS = [[5.0, 6.0], [33.0, 30.0], [20.0, 8.0]]


def samples_at(sample, gt, weight=(1.0, 1.0)):
    """Two ground truths in an image, and three samples of which two pairs are made."""
    points = torch.tensor(POINTS)
    boxes = torch.cat([points - 2, points + 2], dim=1)
    return PositiveSamples(
        Assignment(
            sample=torch.tensor([sample]),
            gt=torch.tensor([gt]),
            weight=torch.tensor([weight]),
            score=torch.ones(1, 2),
            num_samples=3,
        ),
        Priors(boxes, points, torch.full((3,), 4.0), torch.zeros(3, dtype=torch.int64), (3,)),
        Predictions(torch.zeros(1, 3, 4), boxes[None]),
        GroundTruth(
            boxes=torch.tensor([[[10.0, 14, 18, 30], [24, 14, 36, 24], [0, 0, 0, 0]]]),
            labels=torch.zeros(1, 3, dtype=torch.int64),
            valid=torch.tensor([[True, True, False]]),
            image_size=torch.full((1, 2), float(SIDE)),
        ),
    )


@pytest.fixture
def draw():
    """Draw on a panel; gives the color at a place of the image."""

    def draw(samples, **options):
        figure, axes = panel_grid(1, 1)
        image = np.full((SIDE, SIDE, 3), 90, np.uint8)
        draw_positive_samples(axes[0, 0], image, samples, 0, **options)
        picture, scale = to_array(figure), PANEL_SIDE // SIDE
        return lambda x, y: picture[TITLE_HEIGHT + round(y * scale), GAP + round(x * scale)]

    return draw


def is_color(pixel, index):
    return pixel == pytest.approx(np.round(255 * np.array(to_rgb(nth_color(index)))), abs=2)


def test_each_positive_sample_has_a_dot_in_the_color_of_its_object(draw):
    pixel = draw(samples_at(sample=[1, 0], gt=[0, 1]), predicted_boxes=False)
    assert is_color(pixel(*POINTS[1]), 0)
    assert is_color(pixel(*POINTS[0]), 1)
    assert (pixel(*POINTS[2]) == 90).all()
    assert is_color(pixel(10, 20), 0)  # the ground truths
    assert is_color(pixel(24, 20), 1)


def test_an_unused_slot_is_not_drawn(draw):
    pixel = draw(samples_at(sample=[1, 0], gt=[0, 1], weight=(1.0, 0.0)))
    assert is_color(pixel(*POINTS[1]), 0)
    assert (pixel(*POINTS[0]) == 90).all()


def test_dots_are_sized_by_weight(draw):
    pixel = draw(samples_at(sample=[0, 1], gt=[0, 1], weight=(1.0, 0.2)), predicted_boxes=False)
    (heavy_x, heavy_y), (light_x, light_y) = POINTS[:2]
    assert is_color(pixel(heavy_x + 0.25, heavy_y), 0)
    assert is_color(pixel(light_x, light_y), 1)
    assert (pixel(light_x + 0.45, light_y) == 90).all()


def test_a_shared_sample_shows_both_objects(draw):
    pixel = draw(samples_at(sample=[2, 2], gt=[0, 1]), predicted_boxes=False)
    x, y = POINTS[2]
    row = [pixel(x + i / 24, y) for i in range(24)]
    assert is_color(row[0], 1)
    assert any(is_color(color, 0) for color in row)


def test_an_assignment_without_positives_can_be_drawn(draw):
    pixel = draw(samples_at(sample=[0, 0], gt=[0, 0], weight=(0.0, 0.0)))
    assert (pixel(*POINTS[0]) == 90).all()


def test_a_figure_has_a_row_for_each_moment():
    samples = samples_at([0, 1], [0, 1])
    image = np.zeros((SIDE, SIDE, 3), np.uint8)
    figure = positives_figure({"early": samples, "late": samples}, [image], "caption")
    assert [ax.get_title("left") for ax in figure.axes] == ["early", "late"]
    assert "caption" in [text.get_text() for text in figure.texts]


@pytest.fixture
def model(tiny_cfg):
    torch.manual_seed(0)
    return build_model(tiny_cfg()).eval()


def test_positive_samples_are_those_of_training(model, make_inputs):
    """With the statistics of the batch, as training has them."""
    batch = make_inputs(objects=(3, 0, 1))
    record = []
    assigner = model.criterion.assigner
    handle = assigner.register_forward_hook(lambda *call: record.append(call[2]))
    result = positive_samples(model, batch, batch_statistics=True)
    copy.deepcopy(model).train()(batch)
    handle.remove()
    ours, trained = record
    assert torch.equal(ours.sample, trained.sample)
    assert torch.equal(ours.weight, trained.weight)
    assert result.assignment is ours
    assert result.gt.valid.sum() == 4
    assert len(result.priors) == result.predictions.boxes.shape[1]


@pytest.mark.parametrize("batch_statistics", [False, True])
def test_the_model_stays_as_it_is(model, make_inputs, batch_statistics):
    before = copy.deepcopy(model.state_dict())
    batch = make_inputs()
    detected = model(batch)[0]["instances"].scores
    positive_samples(model, batch, batch_statistics=batch_statistics)
    after = model.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert torch.equal(model(batch)[0]["instances"].scores, detected)


def test_another_assigner_can_be_tried(model, make_inputs):
    class First(Assigner):
        def forward(self, priors, predictions, gt):
            slot = torch.zeros_like(gt.labels)
            return Assignment(slot, slot, gt.valid.float(), gt.valid.float())

    result = positive_samples(model, make_inputs(), First())
    assert not result.assignment.sample.any()
