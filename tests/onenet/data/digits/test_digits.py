import numpy as np
import pytest
from onenet.data.digits.glyphs import (
    CLASS_NAMES,
    INK_THRESHOLD,
    crop_to_ink,
    load_pool,
    render_glyph,
    smooth_master,
    split_indices,
)
from sklearn.datasets import load_digits


def test_train_and_val_share_no_image_and_leave_none_out():
    train, val = load_pool("train"), load_pool("val")
    assert not set(train.indices) & set(val.indices)
    assert sorted([*train.indices, *val.indices]) == list(range(len(load_digits().target)))


def test_split_is_stratified():
    labels = load_digits().target
    share = np.bincount(labels[split_indices(labels, "val")]) / np.bincount(labels)
    assert np.allclose(share, 0.2, atol=0.01)


def test_rows_of_a_class_show_that_class():
    labels = load_digits().target
    pool = load_pool("val")
    for label in range(len(CLASS_NAMES)):
        assert (labels[pool.indices[pool.by_class[label]]] == label).all()


def test_unknown_split_is_refused():
    with pytest.raises(KeyError):
        split_indices(np.arange(10), "test")


@pytest.mark.parametrize("height", [16, 33, 56])
@pytest.mark.parametrize("angle", [-15.0, 0.0, 15.0])
def test_glyph_has_the_height_asked_for_and_fills_its_box(height, angle):
    for master in load_pool("val").masters[:20]:
        alpha = render_glyph(master, height, angle=angle, aspect=1.0, thinness=0.35)
        assert height - 2 <= alpha.shape[0] <= height
        assert alpha.min() >= 0 and alpha.max() <= 1 + 1e-6
        for edge in (alpha[0], alpha[-1], alpha[:, 0], alpha[:, -1]):
            assert edge.max() >= INK_THRESHOLD


def test_aspect_widens_and_thinness_thins():
    def render(aspect=1.0, thinness=0.35):
        master = load_pool("train").masters[0]
        return render_glyph(master, 40, angle=0.0, aspect=aspect, thinness=thinness)

    assert render(aspect=1.3).shape[1] > render(aspect=0.8).shape[1]
    assert render(thinness=0.5).mean() < render(thinness=0.3).mean()


def test_master_has_no_staircase():
    """An edge of the source, one pixel wide there, is spread over more than half a pixel."""
    image = np.zeros((8, 8))
    image[:, 4:] = 16
    profile = smooth_master(image)[48]
    assert np.abs(np.diff(profile)).max() < 0.2


def test_crop_to_ink_is_tight():
    alpha = np.zeros((9, 7))
    alpha[2:5, 3:6] = 1
    alpha[6, 3] = INK_THRESHOLD / 2  # too faint to count
    assert crop_to_ink(alpha).shape == (3, 3)
