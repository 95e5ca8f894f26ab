import numpy as np
import pytest
from matplotlib.colors import to_rgb
from onenet.visualization import draw_boxes, nth_color, panel_grid, show_image
from onenet.visualization.draw import GAP, PANEL_SIDE, TITLE_HEIGHT, to_array


def rgb(color):
    return np.round(255 * np.array(to_rgb(color)))


@pytest.fixture
def panel():
    """An empty image of 40 x 40 pixels on a panel, 12 pixels of the panel to one of it."""
    figure, axes = panel_grid(1, 1)
    show_image(axes[0, 0], np.full((40, 40, 3), 90, np.uint8))

    def pixel(x, y):
        picture, scale = to_array(figure), PANEL_SIDE // 40
        return picture[TITLE_HEIGHT + round(y * scale), GAP + round(x * scale)]

    return axes[0, 0], pixel


def test_colors_stay_the_same_and_differ():
    colors = [nth_color(i) for i in range(10)]
    assert len(set(colors)) == 10
    assert nth_color(13) == colors[3]


def test_a_box_is_outlined_where_it_is(panel):
    ax, pixel = panel
    draw_boxes(ax, np.array([[10, 15, 30, 35]]), [nth_color(1)])
    for x, y in [(10, 25), (30, 25), (20, 15), (20, 35)]:
        assert pixel(x, y) == pytest.approx(rgb(nth_color(1)), abs=2)
    for x, y in [(20, 25), (5, 25), (20, 38)]:
        assert (pixel(x, y) == 90).all()


@pytest.mark.parametrize("box", [[10, 15, 30, 35], [0, 0, 40, 40], [-5, -5, 3, 3], [38, 1, 60, 9]])
def test_a_label_is_inside_the_image(panel, box):
    ax, _ = panel
    draw_boxes(ax, np.array([box]), [nth_color(0)], ["4 0.99"])
    figure = ax.figure
    figure.canvas.draw()
    (label,) = ax.texts
    text, image = label.get_window_extent(), ax.get_window_extent()
    assert image.x0 <= text.x0
    assert text.x1 <= image.x1
    assert image.y0 <= text.y0
    assert text.y1 <= image.y1


def test_panels_enlarge_by_whole_numbers():
    image = np.random.default_rng(0).integers(0, 256, (160, 160, 3), np.uint8)
    figure, axes = panel_grid(2, 2, "two\nlines")
    show_image(axes[1, 1], image)
    picture = to_array(figure)
    top, left = 2 * TITLE_HEIGHT + PANEL_SIDE, 2 * GAP + PANEL_SIDE
    panel = picture[top : top + PANEL_SIDE, left : left + PANEL_SIDE]
    np.testing.assert_array_equal(panel, image.repeat(3, axis=0).repeat(3, axis=1))
