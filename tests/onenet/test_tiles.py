import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onenet.tiles import tile_boxes

sides = st.integers(1, 300)


@st.composite
def tilings(draw):
    size = draw(st.integers(1, 80))
    return size, draw(st.integers(0, size - 1))


@settings(deadline=None)
@given(sides, sides, tilings())
def test_tiles_cover_the_picture_and_overlap_enough(width, height, tiling):
    size, overlap = tiling
    boxes = np.array(tile_boxes(width, height, size, overlap))
    assert (boxes[:, 2:] - boxes[:, :2] == [min(size, width), min(size, height)]).all()
    for axis, length in enumerate((width, height)):
        starts = np.unique(boxes[:, axis])
        steps = np.diff(starts)
        assert starts[0] == 0 and starts[-1] + min(size, length) == length
        assert steps.max(initial=0) <= size - overlap
        if len(steps):
            assert np.ptp(steps) <= 1  # evenly
            assert size + (len(steps) - 1) * (size - overlap) < length  # one fewer cannot reach


@settings(deadline=None)
@given(sides, sides, tilings(), st.data())
def test_what_is_no_larger_than_the_overlap_lies_whole_in_a_tile(width, height, tiling, data):
    size, overlap = tiling
    corner, end = [], []
    for length in (width, height):
        extent = data.draw(st.integers(0, min(overlap, length)))
        corner.append(data.draw(st.integers(0, length - extent)))
        end.append(corner[-1] + extent)
    boxes = np.array(tile_boxes(width, height, size, overlap))
    assert ((boxes[:, :2] <= corner) & (boxes[:, 2:] >= end)).all(axis=1).any()


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        ((30, 20), [(0, 0, 30, 20)]),
        ((100, 20), [(0, 0, 50, 20), (25, 0, 75, 20), (50, 0, 100, 20)]),
        ((50, 90), [(0, 0, 50, 50), (0, 40, 50, 90)]),
    ],
)
def test_places(picture, expected):
    assert tile_boxes(*picture, size=50, overlap=10) == expected
