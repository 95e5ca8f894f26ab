import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onenet.errors import UserError
from onenet.tiles import TileGrid, tile_boxes

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


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), tilings())
def test_own_parts_are_a_partition_within_their_tiles(width, height, tiling):
    tiles = TileGrid(*tiling).tiles(width, height)
    y, x = np.mgrid[0 : height + 0.5 : 0.5, 0 : width + 0.5 : 0.5].reshape(2, -1)
    owned = np.stack([tile.owns(np.stack([x, y, x, y], axis=1)) for tile in tiles])
    assert (owned.sum(axis=0) == 1).all()
    for tile, mine in zip(tiles, owned, strict=True):
        x1, y1, x2, y2 = tile.box
        assert mine.any()
        assert x[mine].min() >= x1 and x[mine].max() <= x2
        assert y[mine].min() >= y1 and y[mine].max() <= y2


@pytest.mark.parametrize(("size", "overlap"), [(50, 50), (50, -1), (0, 0)])
def test_grids_that_cannot_be(size, overlap):
    with pytest.raises(UserError, match=f"overlap of tiles is {overlap} pixels"):
        TileGrid(size, overlap)
