import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onenet.errors import UserError
from onenet.predict import ModelCard, TiledPredictor
from onenet.tiles import TileGrid

from ..perfect_detector import PerfectDetector, draw

sides = st.integers(1, 150)


def detect(picture, size, overlap, **options):
    return TiledPredictor(PerfectDetector(**options), TileGrid(size, overlap))(picture)


@settings(deadline=None, max_examples=60)
@given(sides, sides, st.integers(24, 60), st.data())
def test_what_is_no_larger_than_the_overlap_is_found_once_and_whole(width, height, size, data):
    overlap = data.draw(st.integers(1, 2 * size // 3))
    rectangle = []
    for length in (width, height):
        extent = data.draw(st.integers(1, min(overlap, length)))
        start = data.draw(st.integers(0, length - extent))
        rectangle.append((start, start + extent))
    (x1, x2), (y1, y2) = rectangle
    found = detect(draw(height, width, [(x1, y1, x2, y2)]), size, overlap)
    assert found.boxes.tolist() == [[x1, y1, x2, y2]]
    assert found.image_size == (height, width)


def test_borders_and_corners_of_tiles():
    """A picture full of rectangles: wherever tiles end, some are cut, and all are found once."""
    step, extent = 13, 10
    starts = [(x, y) for y in range(1, 190, step) for x in range(1, 240, step)]
    rectangles = [[x, y, x + extent, y + extent] for x, y in starts][:255]
    found = detect(draw(201, 252, rectangles), 50, extent, batch_size=5)
    assert found.boxes.tolist() == rectangles  # best first, which is as they were drawn
    assert found.classes.tolist() == [grey % 2 for grey in range(1, len(rectangles) + 1)]
    assert (np.diff(found.scores) < 0).all()


def test_what_is_larger_than_the_overlap_can_be_found_in_parts():
    found = detect(draw(50, 150, [(20, 10, 130, 40)]), 50, 10)
    assert len(found) > 1
    assert np.unique(found.boxes[:, [1, 3]], axis=0).tolist() == [[10, 40]]


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_tiles_go_through_the_network_in_batches(batch_size):
    predictor = PerfectDetector(batch_size=batch_size)
    found = TiledPredictor(predictor, TileGrid(50, 10))(draw(130, 50, [(3, 70, 9, 80)]))
    assert found.boxes.tolist() == [[3, 70, 9, 80]]
    assert [shape[0] for shape in predictor.shapes] == {1: [1, 1, 1], 3: [3], 8: [3]}[batch_size]
    assert {shape[1:] for shape in predictor.shapes} == {(3, 50, 50)}


def test_a_tile_is_resized_as_an_image_is():
    predictor = PerfectDetector(ModelCard(("even", "odd"), shorter_side=100, longest_side=400))
    found = TiledPredictor(predictor, TileGrid(50, 20))(draw(80, 130, [(60, 40, 70, 50)]))
    assert {shape[1:] for shape in predictor.shapes} == {(3, 100, 100)}
    np.testing.assert_allclose(found.boxes[found.scores.argmax()], [60, 40, 70, 50], atol=1)


def test_the_threshold_and_nothing_at_all():
    picture = draw(130, 130, [(1, 1, 9, 9), (60, 60, 69, 69)])
    assert len(detect(picture, 50, 10, threshold=0.995)) == 1
    none = detect(np.zeros_like(picture), 50, 10)
    assert none.boxes.shape == (0, 4) and none.image_size == (130, 130)


def test_a_list_of_pictures_of_which_some_cannot_be_used(tmp_path):
    picture = draw(70, 90, [(40, 30, 50, 40)])
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), picture)
    images = [picture, tmp_path / "none.png", str(path), picture[..., 0]]
    found = TiledPredictor(PerfectDetector(batch_size=2), TileGrid(50, 10))(images)
    assert [len(one) for one in found] == [1, 0, 1, 0]
    assert "none.png" in found[1].error and found[3].error.startswith("image 3: ")
    with pytest.raises(UserError, match="none.png"):
        detect(tmp_path / "none.png", 50, 10)


def test_the_tiles_can_be_tracked():
    seen = []

    def track(tiles):
        for tile in tiles:
            seen.append(tile.box)
            yield tile

    TiledPredictor(PerfectDetector(), TileGrid(50, 0), track)(draw(100, 50, []))
    assert seen == [(0, 0, 50, 50), (0, 50, 50, 100)]
