from dataclasses import replace

import numpy as np
import pytest
import torch
from assigners import CenterNet
from matplotlib.colors import to_rgb
from onenet import Assignment, GroundTruth, Predictions, Priors
from onenet.geometry import grid_points, square_boxes
from onenet.inspection.positives import PositiveSamples
from onenet.visualization import Panel, comparison_figure, draw_assignment, nth_color, panel_grid
from onenet.visualization.comparison import explain
from onenet.visualization.draw import GAP, PANEL_SIDE, TITLE_HEIGHT, to_array
from onenet.visualization.legend import draw_legend, legend_height
from onenet.visualization.sample_map import heat_kind, heat_values, ignored_area, sample_map

SIDE = 40  # of the image, pixels
GREY = (0.55 * 90 + 0.45 * 128) / 255  # of the image below, which is 90 everywhere
STRIDES = (4, 8)
SIZES = tuple((SIDE // stride) ** 2 for stride in STRIDES)


def priors():
    points = torch.cat([grid_points(SIDE // s, SIDE // s, s, torch.device("cpu")) for s in STRIDES])
    level = torch.tensor([0] * SIZES[0] + [1] * SIZES[1])
    stride = torch.tensor(STRIDES).float()[level]
    shapes = tuple((SIDE // s, SIDE // s) for s in STRIDES)
    return Priors(square_boxes(points, 2 * stride), points, stride, level, SIZES, shapes)


def make_samples(sample=(), weight=(), cls_weight=None, boxes=((8, 8, 24, 32),), scores=None):
    """An image with some positive samples, whose first ground truth all of them are for."""
    num_samples, slots = sum(SIZES), max(1, len(boxes))
    logits = torch.full((1, num_samples, 2), -9.0) if scores is None else scores.logit()[None]
    true = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    return PositiveSamples(
        Assignment(
            sample=torch.tensor([sample], dtype=torch.int64).reshape(1, -1),
            gt=torch.zeros(1, len(sample), dtype=torch.int64),
            weight=torch.tensor([weight or [1.0] * len(sample)]).reshape(1, -1),
            score=torch.ones(1, len(sample)),
            cls_weight=cls_weight,
            num_samples=num_samples,
        ),
        priors(),
        Predictions(logits, torch.zeros(1, num_samples, 4)),
        GroundTruth(
            boxes=torch.cat([true, torch.zeros(slots - len(true), 4)])[None],
            labels=torch.zeros(1, slots, dtype=torch.int64),
            valid=torch.arange(slots)[None] < len(true),
            image_size=torch.full((1, 2), float(SIDE)),
        ),
    )


def ignoring(*samples):
    weight = torch.ones(1, sum(SIZES), 1)
    weight[0, list(samples)] = 0
    return weight


@pytest.fixture
def draw():
    """Draw on a panel; gives the color (0 to 1) at a place of the image."""

    def draw(samples, **options):
        figure, axes = panel_grid(1, 1)
        draw_assignment(axes[0, 0], np.full((SIDE, SIDE, 3), 90, np.uint8), samples, **options)
        picture, scale = to_array(figure), PANEL_SIDE // SIDE
        return lambda x, y: picture[TITLE_HEIGHT + round(y * scale), GAP + round(x * scale)] / 255

    return draw


def test_a_pixel_has_the_largest_value_of_its_cells():
    values = torch.zeros(sum(SIZES))
    values[13] = 3  # level 0: row 1, column 3
    values[SIZES[0] + 5] = 2  # level 1: row 1, column 0
    painted = sample_map(values, priors(), (SIDE, SIDE))
    assert (painted[4:8, 12:16] == 3).all()
    assert (painted[8:16, 0:8] == 2).all()
    assert painted.sum() == 3 * 16 + 2 * 64


def test_an_image_between_two_cells_is_painted_to_its_border():
    painted = sample_map(torch.ones(sum(SIZES)), priors(), (SIDE - 3, SIDE + 3))
    assert painted.shape == (SIDE - 3, SIDE + 3)
    assert (painted[:, :SIDE] == 1).all()
    assert np.isneginf(painted[:, SIDE:]).all()


def test_dots_have_the_color_of_their_level(draw):
    pixel = draw(make_samples(sample=[0, SIZES[0] + 24]), heat="none")
    assert pixel(2, 2) == pytest.approx(to_rgb(nth_color(0)), abs=0.01)
    assert pixel(36, 36) == pytest.approx(to_rgb(nth_color(1)), abs=0.01)


def test_the_ground_truth_is_white_with_a_cross(draw):
    pixel = draw(make_samples(), heat="none")
    assert (pixel(8, 20) > 0.9).all()
    assert (pixel(16, 20) > 0.9).all()
    assert pixel(30, 5) == pytest.approx(GREY, abs=0.01)


def test_the_score_is_the_highest_of_all_classes(draw):
    scores = torch.full((sum(SIZES), 2), 1e-6)
    scores[99, 1] = 1 - 1e-6  # the cell at the lower right
    samples = make_samples(scores=scores)
    assert heat_kind(samples, 0) == "score"
    assert heat_values(samples, 0, "score")[99] == pytest.approx(1, abs=1e-5)
    pixel = draw(samples)
    red, _, blue = pixel(38, 38)
    assert red - blue > 0.5
    assert np.ptp(pixel(30, 5)) < 0.01  # grey


def test_the_gaussian_is_centernets():
    assigner, samples = CenterNet(size_ranges=[(-1, 100), (100, 200)]), make_samples()
    assignment = assigner(samples.priors, samples.predictions, samples.gt)
    samples = samples._replace(assignment=assignment)
    assert heat_kind(samples, 0) == "gaussian"
    heat = heat_values(samples, 0, "gaussian")
    (center,) = assignment.sample[0]
    assert heat[center] == heat.max() == 1
    radius = int(assigner.locate(samples.priors, samples.gt).radius)
    expected = np.exp(-1 / (2 * ((2 * radius + 1) / 6) ** 2))  # a cell beside it
    assert radius > 0
    assert heat[center + 1] == pytest.approx(expected, abs=1e-5)
    assert heat[0] == 0


def test_a_rule_without_gaussian_has_none():
    assert heat_kind(make_samples(), 0, "gaussian") == "none"
    assert heat_kind(make_samples(cls_weight=ignoring(3)), 0, "gaussian") == "none"
    assert heat_kind(make_samples(), 0, "none") == "none"


def test_ignored_cells_are_hatched(draw):
    samples = make_samples(cls_weight=ignoring(0, SIZES[0] + 24))
    assert ignored_area(samples, 0, 0).get_extents().bounds == (0, 0, 4, 4)
    assert ignored_area(samples, 0, 1).get_extents().bounds == (32, 32, 8, 8)
    pixel = draw(samples, heat="none")
    hatched = [pixel(32.5 + i / 4, 36) for i in range(28)]
    assert any(color == pytest.approx(to_rgb(nth_color(1)), abs=0.2) for color in hatched)
    assert all(pixel(20 + i / 4, 4) == pytest.approx(GREY, abs=0.01) for i in range(28))
    assert ignored_area(make_samples(), 0, 0) is None


def test_prior_boxes_on_demand(draw):
    samples = make_samples(sample=[55])  # prior box 18, 18, 26, 26
    with_priors = draw(samples, heat="none", priors=True)
    edge = np.stack([with_priors(26, 18 + i / 12) for i in range(96)])
    assert np.ptp(edge) > 0.5
    without = draw(samples, heat="none")
    assert without(26, 25) == pytest.approx(GREY, abs=0.01)


def test_an_image_without_objects(draw):
    samples = make_samples(boxes=())
    pixel = draw(samples, heat="none")
    assert pixel(20, 20) == pytest.approx(GREY, abs=0.01)
    figure = comparison_figure([[Panel("rule", samples)]], np.zeros((SIDE, SIDE, 3), np.uint8))
    assert figure.axes[0].get_title("left") == "rule: no object"


def texts(entries):
    return [text for _, text in entries]


def test_the_legend_explains_what_is_there_and_nothing_else():
    plain = texts(explain([make_samples(sample=[1, 2])], heat="none"))
    assert plain == [
        "ground truth, its centre",
        "positives, level 0 (stride 4)",
        "size of a dot: weight",
    ]
    shared = replace(make_samples(sample=[3, 3]).assignment, cls_weight=ignoring(SIZES[0]))
    full = texts(explain([make_samples()._replace(assignment=shared)], priors=True))
    assert full[1:3] == ["positives, level 0 (stride 4)", "positives, level 1 (stride 8)"]
    assert "ring: one sample of several objects" in full
    assert "prior box of a positive" in full
    assert "ignored, colour of the level" in full
    assert full[-1] == "0 to 1: highest class score"


def test_a_figure_has_a_panel_for_each_rule_and_moment():
    samples = make_samples(sample=[1, 2])
    rows = [[Panel("a", samples), Panel("b", samples)], [Panel("c", samples), Panel("d", samples)]]
    figure = comparison_figure(rows, np.zeros((SIDE, SIDE, 3), np.uint8), "caption", side=240)
    titles = [ax.get_title("left") for ax in figure.axes]
    assert titles == [f"{name}: 2.0 an object" for name in "abcd"]
    picture = to_array(figure)
    assert picture.shape[1] == 2 * 240 + 3 * GAP


def test_a_long_title_does_not_reach_the_next_panel():
    titles = ["MaxIoU:ASSIGNER.MAX_IOU.PRESET=retinanet", "b"]
    panels = [Panel(title, make_samples()) for title in titles]
    figure = comparison_figure([panels], np.zeros((SIDE, SIDE, 3), np.uint8), side=200)
    figure.canvas.draw()
    left, right = figure.axes
    (title,) = [text for text in left.get_children() if getattr(text, "get_text", str)()]
    assert title.get_window_extent().x1 <= right.get_window_extent().x0


@pytest.mark.parametrize("width", [160, 260, 700, 1500])
def test_the_legend_is_inside_the_figure(width):
    samples = make_samples(sample=[3, 3], cls_weight=ignoring(SIZES[0]))
    entries = explain([samples], priors=True)
    figure, _ = panel_grid(1, 1, side=width, footer=legend_height(len(entries), width))
    draw_legend(figure, entries)
    figure.canvas.draw()
    (legend,) = figure.legends
    box, panel = legend.get_window_extent(), figure.axes[0].get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.x1
    assert 0 <= box.y0 < box.y1 <= panel.y0
